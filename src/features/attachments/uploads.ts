import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { type Context, requireViewer, type ServerNode } from '../../core/context.ts';
import { UPLOAD_SECONDS } from '../../auth/fileTokens.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { createUuid } from '../../core/globalIds.ts';
import { countCharacters, isStorable } from '../../core/text/text.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { Attachment } from '../../platform/database/generated/client.ts';
import type { AttachmentPurpose } from '../../platform/database/generated/enums.ts';
import type { FileStore, PreparedRequest } from '../../platform/files/fileStore.ts';
import { isDecoded } from '../../platform/images/header.ts';
import { type Inspection, isImage } from '../../platform/images/images.ts';
import { queueJob } from '../../platform/jobQueue.ts';
import { attachmentColumns, countsAsStorage, isNoAvatar, objectKey, uploadKey } from './attachments.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    fileLimits: FileLimits;
  }
}

/** Limits of uploads, in bytes. */
export interface FileLimits {
  maxFileBytes: number;
  maxUserBytes: number;
}

/** Unit of the limits in settings and error texts, in bytes. */
export const MEGABYTE = 1_024 * 1_024;
const MAX_FILE_NAME = 255;
const MAX_MEDIA_TYPE = 127;
/** Maximum number of uploads of a user that are not complete. */
const MAX_OPEN_UPLOADS = 100;

const UNKNOWN_TYPE = 'application/octet-stream';

/** A file that a client is about to upload. */
export interface NewUpload {
  fileName: string;
  byteSize: number;
  /** SHA-256 of the bytes, in lower-case hexadecimal. */
  sha256: string;
  mediaType: string;
  purpose: AttachmentPurpose;
}

/**
 * Announces an upload. If the viewer has announced the same file and its upload is not complete, returns that upload.
 *
 * @throws ChatError `BAD_USER_INPUT` for an invalid argument or a file that is too large; `LIMIT_REACHED` if the viewer
 *   has too many open uploads or no storage left
 */
export async function createUpload(context: Context, input: NewUpload): Promise<Attachment> {
  const { userId } = requireViewer(context);
  requireFiles(context);
  const { byteSize, purpose } = input;
  const [fileName, sha256, mediaType] = checkUpload(context, input);
  return context.database.transaction(async (query) => {
    // Serialises the uploads of the user, so that two of them cannot pass a limit together.
    await query(sql`SELECT FROM users WHERE id = ${userId}::uuid FOR NO KEY UPDATE`);
    const [same] = await query<Attachment>(sql`
      SELECT ${attachmentColumns} FROM attachments a
        WHERE a.user_id = ${userId}::uuid AND a.state = 'UPLOADING' AND a.sha256 = ${sha256} AND a.file_name = ${fileName}
          AND a.byte_size = ${byteSize} AND a.media_type = ${mediaType} AND a.purpose = ${purpose}::"AttachmentPurpose"`);
    if (same) return same;
    await requireSpace(query, context.fileLimits, userId, byteSize);
    const [made] = await query<Attachment>(sql`
      INSERT INTO attachments AS a (user_id, purpose, file_name, media_type, byte_size, sha256)
        VALUES (${userId}::uuid, ${purpose}::"AttachmentPurpose", ${fileName}, ${mediaType}, ${byteSize}, ${sha256})
        RETURNING ${attachmentColumns}`);
    if (!made) throw new Error('The upload was not stored.');
    return made;
  });
}

/** Returns the checked file name, hash and media type of an upload. */
function checkUpload(
  { fileLimits: { maxFileBytes } }: Context,
  { fileName, byteSize, sha256, mediaType, purpose }: NewUpload,
): [fileName: string, sha256: Buffer, mediaType: string] {
  const length = countCharacters(fileName, MAX_FILE_NAME);
  // Direction overrides could make photo.exe look like exe.photo.
  if (
    length < 1 ||
    length > MAX_FILE_NAME ||
    !isStorable(fileName) ||
    /[\p{Cc}\u2028-\u202E\u2066-\u2069]/u.test(fileName)
  )
    throw badInput('input.fileName', `A file name has 1 to ${MAX_FILE_NAME} characters and no control characters.`);
  if (byteSize < 1) throw badInput('input.byteSize', 'The file is empty. Choose another file.');
  if (byteSize > maxFileBytes)
    throw badInput('input.byteSize', `The file is too large. Choose a file of at most ${maxFileBytes / MEGABYTE} MB.`);
  if (!/^[\da-f]{64}$/.test(sha256))
    throw badInput('input.sha256', 'Send the SHA-256 of the bytes as 64 hexadecimal digits in lower case.');
  const [type = ''] = mediaType.toLowerCase().split(';', 1);
  const normal = type.trim() || UNKNOWN_TYPE;
  if (normal.length > MAX_MEDIA_TYPE || !/^[a-z\d][\w!#$&^.+-]*\/[a-z\d][\w!#$&^.+-]*$/.test(normal))
    throw badInput('input.mediaType', 'This is not a media type. Send one such as image/jpeg, or an empty text.');
  if (purpose === 'AVATAR' && !isDecoded(normal))
    throw badInput('input.mediaType', 'An avatar is an image: JPEG, PNG, GIF, WebP or AVIF.');
  return [fileName, Buffer.from(sha256, 'hex'), normal];
}

async function requireSpace(
  query: Database['query'],
  { maxUserBytes }: FileLimits,
  userId: string,
  byteSize: number,
): Promise<void> {
  const [found] = await query<{ open: number; used: number }>(sql`
    SELECT count(*) FILTER (WHERE a.state = 'UPLOADING')::int AS open, coalesce(sum(a.byte_size), 0)::float8 AS used
      FROM attachments a WHERE a.user_id = ${userId}::uuid AND ${countsAsStorage}`);
  const { open = 0, used = 0 } = found ?? {};
  if (open >= MAX_OPEN_UPLOADS)
    throw new ChatError('LIMIT_REACHED', `You have ${MAX_OPEN_UPLOADS} open uploads. Complete one first.`, {
      limit: MAX_OPEN_UPLOADS,
    });
  if (used + byteSize > maxUserBytes)
    throw new ChatError(
      'LIMIT_REACHED',
      'Your files need more storage than you have. Delete messages with files first.',
      {
        limit: maxUserBytes,
      },
    );
}

/** The request with which a client uploads the bytes of an upload, and when it stops to be accepted. */
export interface UploadRequest extends PreparedRequest {
  expiresAt: Date;
}

/** Returns the request with which a client uploads the bytes. */
export async function uploadRequestOf(context: Context, upload: Attachment): Promise<UploadRequest> {
  const expiresAt = new Date(Date.now() + UPLOAD_SECONDS * 1_000);
  const { id, byteSize, mediaType, sha256 } = upload;
  const bytes = { byteSize, mediaType, sha256: Buffer.from(sha256) };
  const direct = await requireFiles(context).prepareUpload(uploadKey(id), bytes, UPLOAD_SECONDS);
  if (direct) return { ...direct, expiresAt };
  const token = await context.fileTokens.signUpload(id);
  return { url: `/files/${uploadKey(id)}?token=${token}`, headers: { 'content-type': mediaType }, expiresAt };
}

/** Outcome of a request that sends the bytes of an upload to this node. */
export type ReceiveOutcome = 'STORED' | 'NOT_FOUND' | 'TOO_LONG' | 'TOO_SHORT';

/**
 * Stores the bytes of an upload. Repeated bytes replace the former ones until the upload is complete, and are then
 * ignored. The caller has checked the permission.
 *
 * @param announced number of bytes according to the request. Null if the request does not say.
 */
export async function receiveUpload(
  { database, files }: Pick<ServerNode, 'database' | 'files'>,
  uploadId: string,
  bytes: AsyncIterable<Buffer>,
  announced: number | null,
): Promise<ReceiveOutcome> {
  const find = async () => {
    const [found] = await database.query<Pick<Attachment, 'state' | 'byteSize'>>(sql`
      SELECT state, byte_size AS "byteSize" FROM attachments WHERE id = ${uploadId}::uuid`);
    return found;
  };
  const upload = await find();
  if (!upload || !files) return 'NOT_FOUND';
  if (upload.state !== 'UPLOADING') return 'STORED';
  // Refused before the bytes are read, so that the client receives the response.
  if (announced !== null && announced !== upload.byteSize) return compareLength(announced, upload.byteSize);
  try {
    await files.write(uploadKey(uploadId), Readable.from(exactly(upload.byteSize, bytes), { objectMode: false }));
  } catch (error) {
    if (error instanceof WrongLength) return compareLength(error.length, upload.byteSize);
    throw error;
  }
  const now = await find();
  // Another request has completed the upload, or its user has been deleted. Nothing else would delete the bytes soon.
  if (now?.state !== 'UPLOADING') await files.delete(uploadKey(uploadId));
  return now ? 'STORED' : 'NOT_FOUND';
}

function compareLength(length: number, expected: number): ReceiveOutcome {
  return length > expected ? 'TOO_LONG' : 'TOO_SHORT';
}

/** Thrown for a request with more or fewer bytes than were announced by `createUpload`. */
class WrongLength extends Error {
  readonly length: number;
  constructor(length: number) {
    super();
    this.length = length;
  }
}

/** Passes bytes on, and fails unless there are exactly `expected`. Nothing is then stored. */
async function* exactly(expected: number, bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of bytes) {
    length += chunk.length;
    if (length > expected) throw new WrongLength(length);
    yield chunk;
  }
  if (length < expected) throw new WrongLength(length);
}

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
 * Deletes an upload of the viewer, or an attachment that was not sent, and thereby frees its storage. Cancels the change of
 * an avatar that waits for the attachment.
 *
 * @param id null for an id that names no upload and no attachment
 * @throws ChatError `NOT_FOUND` unless the viewer has created the upload, and if it was sent, is an avatar or was deleted
 */
export async function deleteUpload(context: Context, id: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  requireFiles(context);
  const isDeleted = await context.database.transaction(async (query) => {
    // Waits for a send or a change of an avatar with this attachment. The next statement then sees its result.
    await query(sql`SELECT FROM attachments WHERE id = ${id}::uuid AND user_id = ${userId}::uuid FOR UPDATE`);
    const [deleted] = await query(sql`
      DELETE FROM attachments a
        WHERE a.id = ${id}::uuid AND a.user_id = ${userId}::uuid AND a.chatroom_id IS NULL AND ${isNoAvatar} RETURNING 1`);
    return deleted !== undefined;
  });
  if (!isDeleted) throw notFound('upload');
}

/**
 * Queues the processing of an attachment. Replaces a job for the same attachment that waits for its next attempt.
 *
 * @param kills number of nodes that were killed during the processing
 */
export async function queueProcessing(query: Database['query'], attachmentId: string, kills = 0): Promise<void> {
  await queueJob(query, 'process_attachment', { attachmentId, kills }, { key: `process_attachment ${attachmentId}` });
}

async function findOwn({ database }: Context, id: string, userId: string): Promise<Attachment | undefined> {
  const [found] = await database.query<Attachment>(sql`
    SELECT ${attachmentColumns} FROM attachments a WHERE a.id = ${id}::uuid AND a.user_id = ${userId}::uuid`);
  return found;
}

/**
 * Returns the file store.
 *
 * @throws ChatError `FORBIDDEN` if the server stores no files
 */
function requireFiles({ files }: Pick<Context, 'files'>): FileStore {
  if (!files)
    throw new ChatError('FORBIDDEN', 'This server stores no files. `Server.features` then lacks `attachments`.');
  return files;
}
