import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerNode } from '../../core/context.ts';
import { createUuid } from '../../core/globalIds.ts';
import { sql } from '../../platform/database/database.ts';
import type { Attachment } from '../../platform/database/generated/client.ts';
import type { FileStore } from '../../platform/files/fileStore.ts';
import { type ImageVariantFile, isImage, type ProcessedImage } from '../../platform/images/images.ts';
import { type Jobs, queueJob } from '../../platform/jobQueue.ts';
import { queueProcessing } from './completing.ts';
import { attachmentColumns, objectKey, type StoredImage, type StoredVariant } from './attachments.ts';

type ProcessingNode = Pick<ServerNode, 'database' | 'files' | 'images' | 'scanner' | 'roomTails'>;

/** Changes to an attachment at the end of its processing. */
type Result = Pick<Attachment, 'state' | 'rejection' | 'object' | 'mediaType' | 'byteSize'> & {
  /** In hexadecimal. */
  sha256: string;
  image: StoredImage | null;
};

/**
 * Job that scans an attachment and creates the variants of an image. If clamd or the store is away, the job fails and runs
 * again later. Until then, the attachment is not served.
 */
export async function processAttachment(
  node: ProcessingNode,
  { attachmentId, kills = 0 }: Jobs['process_attachment'],
): Promise<void> {
  const { database, files } = node;
  const [attachment] = await database.query<Attachment>(sql`
    SELECT ${attachmentColumns} FROM attachments a WHERE a.id = ${attachmentId}::uuid AND a.state = 'PROCESSING'`);
  if (!attachment || !files) return;
  const written: string[] = [];
  const result = await files.withFile(objectKey(attachment.id, attachment.object ?? ''), (path) =>
    processFile(node, files, { attachment, path, mayDecode: kills < MAX_KILLS, written }),
  );
  const isStored = await finish(node, attachment, result);
  // The attachment has been deleted, or another run of this job was faster.
  if (!isStored) for (const key of written) await files.delete(key);
}

/** Age of the lock of a job from which its node counts as killed, in minutes. Scans and images have shorter time limits. */
const DEAD_MINUTES = 10;
/**
 * Number of killed nodes after which an image is not decoded again. It may have been the cause: decoding takes up to 900 MB,
 * for which the system kills a process in a small container.
 */
const MAX_KILLS = 2;

/** Queues the processing again whose node was killed. The queue itself would wait for four hours. */
export async function resumeProcessing({ query }: ProcessingNode['database']): Promise<void> {
  const dead = await query<{ job: string; id: string; kills: number }>(sql`
    SELECT j.id AS job, a.id, coalesce((j.payload->>'kills')::int, 0) + 1 AS kills
      FROM graphile_worker._private_jobs j JOIN graphile_worker._private_tasks t ON t.id = j.task_id
      JOIN attachments a ON a.id = (j.payload->>'attachmentId')::uuid
      WHERE t.identifier = 'process_attachment' AND j.locked_at < now() - make_interval(mins => ${DEAD_MINUTES})
        AND a.state = 'PROCESSING' AND j.key IS NOT NULL`);
  for (const { id, kills } of dead) await queueProcessing(query, id, kills);
  // A job that is replaced while it is locked loses its key, and would stay as one that has failed.
  await query(sql`
    DELETE FROM graphile_worker._private_jobs WHERE id = ANY (${dead.map(({ job }) => job)}::bigint[]) AND key IS NULL`);
}

interface ProcessedFile {
  attachment: Attachment;
  path: string;
  /** Whether an image may be decoded. Without it, the image has no variants. */
  mayDecode: boolean;
  /** Receives the keys of the objects that were written. */
  written: string[];
}

async function processFile(
  { images, scanner }: ProcessingNode,
  files: FileStore,
  { attachment, path, mayDecode, written }: ProcessedFile,
): Promise<Result> {
  const { mediaType, purpose } = attachment;
  const scan = await scanner?.scan(path);
  if (scan?.outcome === 'AWAY') throw new Error(`A file could not be scanned: ${scan.reason}`);
  if (scan?.outcome === 'INFECTED') return rejected(attachment, 'INFECTED');
  if (!isImage(mediaType)) return ready(attachment);
  const folder = await mkdtemp(join(tmpdir(), 'parley-'));
  try {
    const processed = await images.processImage({ path, mediaType, folder, mayDecode });
    if (processed.outcome === 'UNREADABLE') return rejected(attachment, 'UNREADABLE');
    // Nobody could see this avatar.
    if (purpose === 'AVATAR' && processed.variants === null) return rejected(attachment, 'TOO_LARGE');
    return await storeImage(files, attachment, processed, written);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes the files of a processed image to the store. */
async function storeImage(
  files: FileStore,
  attachment: Attachment,
  { original, variants }: ProcessedImage & { outcome: 'READY' },
  written: string[],
): Promise<Result> {
  async function write(path: string): Promise<string> {
    const object = createUuid();
    const key = objectKey(attachment.id, object);
    written.push(key);
    await files.write(key, path);
    return object;
  }
  async function writeVariant({ path, ...file }: ImageVariantFile): Promise<StoredVariant> {
    const { byteSize, sha256, width, height } = file;
    return { object: await write(path), byteSize, sha256, width, height };
  }
  const image = variants && {
    width: variants.width,
    height: variants.height,
    thumbHash: variants.thumbHash,
    preview: await writeVariant(variants.preview),
    thumbnail: await writeVariant(variants.thumbnail),
  };
  if (!original) return { ...ready(attachment), image };
  const { path, mediaType, byteSize, sha256 } = original;
  return { ...ready(attachment), image, mediaType, byteSize, sha256, object: await write(path) };
}

function ready({ object, mediaType, byteSize, sha256 }: Attachment): Result {
  const hex = Buffer.from(sha256).toString('hex');
  return { state: 'READY', rejection: null, object, mediaType, byteSize, sha256: hex, image: null };
}

function rejected(attachment: Attachment, rejection: NonNullable<Attachment['rejection']>): Result {
  return { ...ready(attachment), state: 'REJECTED', rejection, object: null };
}

/**
 * Stores the result, and appends an event to the room of the attachment. Objects that are no longer served are deleted
 * afterwards. Returns false if the attachment is no longer being processed.
 */
async function finish({ database, roomTails }: ProcessingNode, former: Attachment, result: Result): Promise<boolean> {
  const { id } = former;
  const { state, rejection, object, mediaType, byteSize, sha256, image } = result;
  const finished = await database.transaction(async (query) => {
    const [row] = await query<{ finished: boolean; chatroomId: string | null; seq: number | null }>(sql`
      SELECT finished, chatroom_id AS "chatroomId", seq FROM finish_attachment(
        ${id}::uuid, ${state}::"AttachmentState", ${rejection}::"AttachmentRejection", ${object}, ${mediaType}, ${byteSize}::int,
        decode(${sha256}, 'hex'), ${image === null ? null : JSON.stringify(image)}::jsonb)`);
    if (row?.finished && object === null) await queueJob(query, 'delete_file', { attachmentId: id });
    else if (row?.finished && former.object !== null && object !== former.object)
      await queueJob(query, 'delete_file', { attachmentId: id, object: former.object });
    return row;
  });
  if (finished?.chatroomId != null && finished.seq !== null) roomTails.notify(finished.chatroomId, finished.seq);
  return finished?.finished ?? false;
}
