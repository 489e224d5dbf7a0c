import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type Context, requireViewer } from '../../core/context.ts';
import { ChatError, notFound } from '../../core/errors.ts';
import { createUuid } from '../../core/globalIds.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { Attachment } from '../../platform/database/generated/client.ts';
import { isDecoded } from '../../platform/images/header.ts';
import { type Inspection, isImage } from '../../platform/images/images.ts';
import { queueJob } from '../../platform/jobQueue.ts';
import { attachmentColumns, objectKey, uploadKey } from './attachments.ts';
import { findOwn, requireFiles } from './uploads.ts';

/**
 * Completes an upload: checks the bytes that the client has sent, and decides the type of the file. Returns the same
 * attachment if it is called again.
 *
 * @param uploadId null for an id that names no upload
 * @throws ChatError `NOT_FOUND` unless the viewer has created the upload; `CONFLICT` if no bytes were sent, or other
 *   bytes than announced. The upload then stays open, and the client can send the bytes again.
 */
export async function completeUpload(context: Context, uploadId: string | null): Promise<Attachment> {
  const { userId } = requireViewer(context);
  const files = requireFiles(context);
  const upload = uploadId === null ? null : await findOwn(context, uploadId, userId);
  if (!upload) throw notFound('upload');
  if (upload.state !== 'UPLOADING') return upload;
  // Copies first, because the client may send other bytes while these are checked.
  const object = createUuid();
  const key = objectKey(upload.id, object);
  const isSent = await files.copy(uploadKey(upload.id), key);
  let inspected: Inspected | null = null;
  try {
    if (isSent) inspected = await files.withFile(key, (path) => inspect(context, upload, path));
  } finally {
    if (inspected === null || inspected === 'OTHER_BYTES') await files.delete(key);
  }
  if (inspected === null || inspected === 'OTHER_BYTES') {
    // Another call may have completed the upload since.
    const now = await findOwn(context, upload.id, userId);
    if (now && now.state !== 'UPLOADING') return now;
    throw new ChatError(
      'CONFLICT',
      inspected === null
        ? 'No bytes have been sent to the URL of this upload. Send them first.'
        : 'The bytes that were sent are not the ones that were announced. Send them again.',
    );
  }
  const completed = await storeCompletion(context, upload, object, inspected);
  if (!completed) await files.delete(key);
  await files.delete(uploadKey(upload.id));
  const stored = completed ?? (await findOwn(context, upload.id, userId));
  if (!stored) throw notFound('upload');
  return stored;
}

/** Result of the check of the bytes that were sent. */
type Inspected = (Inspection & { durationMs: number | null }) | 'OTHER_BYTES';

async function inspect({ images }: Pick<Context, 'images'>, upload: Attachment, path: string): Promise<Inspected> {
  const hash = createHash('sha256');
  let byteSize = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    byteSize += chunk.length;
  }
  if (byteSize !== upload.byteSize || !hash.digest().equals(upload.sha256)) return 'OTHER_BYTES';
  const inspection = await images.inspect(path, upload.mediaType);
  const isFilm = !inspection.contradicts && /^(audio|video)\//.test(inspection.mediaType);
  return { ...inspection, durationMs: isFilm ? await images.measure(path) : null };
}

/** Stores that an upload is complete. Returns null if another call has done so. */
async function storeCompletion(
  { database, scanner }: Pick<Context, 'database' | 'scanner'>,
  { id, purpose }: Attachment,
  object: string,
  { mediaType, contradicts, durationMs }: Exclude<Inspected, 'OTHER_BYTES'>,
): Promise<Attachment | null> {
  const isRejected = contradicts || (purpose === 'AVATAR' && !isDecoded(mediaType));
  const isProcessed = isImage(mediaType) || scanner !== null;
  const state = isRejected ? 'REJECTED' : isProcessed ? 'PROCESSING' : 'READY';
  return database.transaction(async (query) => {
    const [stored] = await query<Attachment>(sql`
      UPDATE attachments a SET state = ${state}::"AttachmentState", media_type = ${mediaType},
          object = ${isRejected ? null : object}, duration_ms = ${durationMs}::int,
          rejection = ${isRejected ? 'NOT_WHAT_IT_SAYS' : null}::"AttachmentRejection"
        WHERE a.id = ${id}::uuid AND a.state = 'UPLOADING' RETURNING ${attachmentColumns}`);
    if (stored && isRejected) await queueJob(query, 'delete_file', { attachmentId: id });
    if (stored && state === 'PROCESSING') await queueProcessing(query, id);
    return stored ?? null;
  });
}

/**
 * Queues the processing of an attachment. Replaces a job for the same attachment that waits for its next attempt.
 *
 * @param kills number of nodes that were killed during the processing
 */
export async function queueProcessing(query: Database['query'], attachmentId: string, kills = 0): Promise<void> {
  await queueJob(query, 'process_attachment', { attachmentId, kills }, { key: `process_attachment ${attachmentId}` });
}
