import { UPLOAD_SECONDS } from '../../auth/fileTokens.ts';
import type { ServerNode } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import type { Attachment } from '../../platform/database/generated/client.ts';
import type { FileStore, StoredObject } from '../../platform/files/fileStore.ts';
import type { Jobs } from '../../platform/jobQueue.ts';
import { isNoAvatar, objectKey, type StoredImage, uploadKey } from './attachments.ts';
import { queueProcessing } from './completing.ts';

type CleaningNode = Pick<ServerNode, 'database'> & { files: FileStore };

/** Time in which an upload must be sent or used as an avatar, in hours. */
export const MAX_UNSENT_HOURS = 24;
/** Time after which the job of an attachment that is being processed is queued again, in minutes. */
const STUCK_MINUTES = 10;
/** Number of orphans that are deleted even if there are fewer other objects. */
const FEW_ORPHANS = 10;
/** Maximum number of orphans that are deleted at a time, because their keys are kept in memory. */
const MAX_ORPHANS = 100_000;
/** Number of objects that are compared with one statement. */
const BATCH_SIZE = 1_000;

/**
 * SQL of the rows to which objects belong: attachments, and pages whose image is stored. The image of a page is a single
 * object.
 */
const owners = sql`(
  SELECT id, state, object, image FROM attachments UNION ALL
  SELECT id, 'READY', image->>'object', NULL FROM web_pages WHERE image IS NOT NULL) o`;

/** SQL condition that an attachment (`a`) is not about to become an avatar after its processing. */
const isNoNextAvatar = sql`(a.next_of_user IS NULL AND a.next_of_chatroom IS NULL)`;

/** Job that deletes the objects of an attachment, or of a page. */
export async function deleteFile(
  { database, files }: CleaningNode,
  { attachmentId, object }: Jobs['delete_file'],
): Promise<void> {
  const keys = object === undefined ? [uploadKey(attachmentId)] : [objectKey(attachmentId, object)];
  if (object === undefined) for await (const { key } of files.list(attachmentId)) keys.push(key);
  // A job that was retried for days may find that an import has restored the attachment.
  const needed = await keysOf(database, [attachmentId]);
  for (const key of keys) if (!needed.has(key)) await files.delete(key);
}

/**
 * Deletes uploads that were not sent, and objects that belong to no attachment or page, such as those of a node that was
 * killed. Queues the processing of attachments whose job was lost or waits; `resumeProcessing` has those of killed nodes.
 *
 * @param hours age from which uploads and objects are deleted
 * @param options.force whether objects are deleted even if the store seems to belong to another database
 * @returns the number of each
 * @throws Error if the store seems to belong to another database
 */
export async function cleanFiles(
  node: CleaningNode,
  hours = MAX_UNSENT_HOURS,
  { force = false } = {},
): Promise<{ uploads: number; objects: number }> {
  const { database, files } = node;
  const uploads = await deleteUnsent(database, hours);
  const stuck = await database.query<{ id: string; kills: number }>(sql`
    SELECT a.id, coalesce(max((j.payload->>'kills')::int), 0) AS kills
      FROM attachments a LEFT JOIN graphile_worker._private_jobs j ON j.payload->>'attachmentId' = a.id::text
      WHERE a.state = 'PROCESSING' AND a.created_at < now() - make_interval(mins => ${STUCK_MINUTES})
      GROUP BY a.id HAVING count(j.locked_at) = 0`);
  for (const { id, kills } of stuck) await queueProcessing(database.query, id, kills);
  const orphans = await findOldOrphans(node, hours, force);
  for (const key of orphans) await files.delete(key);
  return { uploads, objects: orphans.length };
}

/**
 * Returns the keys of old objects that belong to no attachment and no page, at most `MAX_ORPHANS`. Protects the files of all
 * users from a node that was started with an empty database, or with that of another installation: it knows none of them.
 */
async function findOldOrphans(node: CleaningNode, hours: number, force: boolean): Promise<string[]> {
  const latest = Date.now() - hours * 3_600_000;
  const orphans: string[] = [];
  let [old, known] = [0, 0];
  for await (const batch of compareObjects(node)) {
    known += batch.known.length;
    for (const { key, modifiedAt } of batch.orphans) {
      // A younger object may belong to an attachment that is about to be stored.
      if (modifiedAt.getTime() > latest) continue;
      old += 1;
      if (orphans.length < MAX_ORPHANS) orphans.push(key);
    }
  }
  if (!force && old > FEW_ORPHANS && old > known)
    throw new Error(
      `${old} objects of the file store belong to no attachment, and only ${known} to one. Check that DATABASE_URL and the FILES settings belong together. To delete the objects, run: npm run admin -- files --clean`,
    );
  return orphans;
}

/**
 * Deletes uploads that were neither sent nor used as an avatar. Locks them before it looks for avatars: the statement of a
 * user who sets one at the same time may have committed after the first statement began. Skips uploads that are being sent.
 */
async function deleteUnsent(database: CleaningNode['database'], hours: number): Promise<number> {
  return database.transaction(async (query) => {
    const old = await query<{ id: string }>(sql`
      SELECT id FROM attachments a
        WHERE a.chatroom_id IS NULL AND ${isNoAvatar} AND ${isNoNextAvatar}
          AND (a.created_at <= now() - make_interval(hours => ${hours}::int)
            -- No URL for the bytes is valid any longer.
            OR a.deleted_at <= now() - make_interval(secs => ${UPLOAD_SECONDS}))
        FOR UPDATE SKIP LOCKED`);
    const deleted = await query(sql`
      DELETE FROM attachments a
        WHERE a.id = ANY (${old.map(({ id }) => id)}::uuid[]) AND a.chatroom_id IS NULL AND ${isNoAvatar} AND ${isNoNextAvatar}
        RETURNING 1`);
    return deleted.length;
  });
}

/** Returns the objects of the store that belong to no attachment and no page. */
export async function* findOrphans(node: CleaningNode): AsyncGenerator<StoredObject> {
  for await (const { orphans } of compareObjects(node)) yield* orphans;
}

/** Compares the objects of the store with the database, a batch at a time. */
async function* compareObjects({
  database,
  files,
}: CleaningNode): AsyncGenerator<Record<'known' | 'orphans', StoredObject[]>> {
  for await (const batch of inBatches(files.list())) {
    const keys = await keysOf(database, [...new Set(batch.map(({ key }) => idIn(key)))]);
    const known = batch.filter(({ key }) => keys.has(key));
    yield { known, orphans: batch.filter(({ key }) => !keys.has(key)) };
  }
}

/**
 * Returns the keys of objects that attachments or pages need and the store lacks. Reads the rows first, because an object is
 * written before its row names it.
 */
export async function findMissing({ database, files }: CleaningNode): Promise<string[]> {
  const missing = new Set<string>();
  let last = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const rows = await database.query<KeyRow>(sql`
      SELECT id, state, object, image FROM ${owners} WHERE id > ${last}::uuid AND object IS NOT NULL
        ORDER BY id LIMIT ${BATCH_SIZE}`);
    for (const key of rows.flatMap(keysOfRow)) missing.add(key);
    last = rows.at(-1)?.id ?? last;
    if (rows.length < BATCH_SIZE) break;
  }
  for await (const { key } of files.list()) missing.delete(key);
  // Attachments may have been deleted or processed since.
  const needed = await keysOf(database, [...new Set([...missing].map(idIn))]);
  return [...missing].filter((key) => needed.has(key));
}

type KeyRow = Pick<Attachment, 'id' | 'state' | 'object' | 'image'>;

/** Returns the keys of all objects that belong to attachments or pages with these ids. */
async function keysOf({ query }: CleaningNode['database'], ids: readonly string[]): Promise<Set<string>> {
  const uuids = ids.filter((id) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(id));
  const rows = await query<KeyRow>(
    sql`SELECT id, state, object, image FROM ${owners} WHERE id = ANY (${uuids}::uuid[])`,
  );
  return new Set(rows.flatMap(keysOfRow));
}

function keysOfRow({ id, state, object, image }: KeyRow): string[] {
  if (state === 'UPLOADING') return [uploadKey(id)];
  const variants = image as StoredImage | null;
  const objects = [object, variants?.preview.object, variants?.thumbnail.object];
  return objects.flatMap((name) => (name == null ? [] : [objectKey(id, name)]));
}

/** Returns the id of the attachment or page in a key. */
function idIn(key: string): string {
  const [first = '', second = ''] = key.split('/');
  return first === 'uploads' ? second : first;
}

async function* inBatches<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item[]> {
  let batch: Item[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < BATCH_SIZE) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
