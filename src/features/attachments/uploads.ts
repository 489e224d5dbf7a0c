import { type Context, requireViewer } from '../../core/context.ts';
import { UPLOAD_SECONDS } from '../../auth/fileTokens.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { countCharacters, isStorable } from '../../core/text/text.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { Attachment } from '../../platform/database/generated/client.ts';
import type { AttachmentPurpose } from '../../platform/database/generated/enums.ts';
import type { FileStore, PreparedRequest } from '../../platform/files/fileStore.ts';
import { isDecoded } from '../../platform/images/header.ts';
import { attachmentColumns, countsAsStorage, isNoAvatar, uploadKey } from './attachments.ts';

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
          AND a.byte_size = ${byteSize} AND a.media_type = ${mediaType} AND a.purpose = ${purpose}::"AttachmentPurpose"
          AND a.deleted_at IS NULL`);
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
    SELECT count(*) FILTER (WHERE a.state = 'UPLOADING' AND a.deleted_at IS NULL)::int AS open, coalesce(sum(a.byte_size), 0)::float8 AS used
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

/**
 * Deletes an open upload of the viewer, or an attachment that was not sent, and thereby frees its storage. Cancels the change
 * of an avatar that waits for the attachment.
 *
 * @param uploadId an upload; null or undefined for an id that names none
 * @param attachmentId an attachment; null or undefined for an id that names none
 * @throws ChatError `NOT_FOUND` unless the viewer has created the upload, and if it was completed, sent, is an avatar or was
 *   deleted
 */
export async function deleteUpload(
  context: Context,
  { uploadId, attachmentId }: { uploadId: string | null; attachmentId: string | null },
): Promise<void> {
  const { userId } = requireViewer(context);
  const id = uploadId ?? attachmentId;
  // An object store accepts the bytes until the URL has expired. Until then, they count as storage.
  const isDelayed = requireFiles(context).origin !== null && uploadId !== null;
  const isDeleted = await context.database.transaction(async (query) => {
    // Waits for a send or a change of an avatar with this attachment. The next statement then sees its result.
    await query(sql`SELECT FROM attachments WHERE id = ${id}::uuid AND user_id = ${userId}::uuid FOR UPDATE`);
    const [deleted] = await query(sql`
      ${isDelayed ? sql`UPDATE attachments a SET deleted_at = now()` : sql`DELETE FROM attachments a`}
        WHERE a.id = ${id}::uuid AND a.user_id = ${userId}::uuid AND a.chatroom_id IS NULL AND ${isNoAvatar}
          AND (a.state = 'UPLOADING') = ${uploadId !== null}::boolean AND a.deleted_at IS NULL RETURNING 1`);
    return deleted !== undefined;
  });
  if (!isDeleted) throw notFound('upload');
}

/** Returns an upload or attachment of a user. */
export async function findOwn({ database }: Context, id: string, userId: string): Promise<Attachment | undefined> {
  const [found] = await database.query<Attachment>(sql`
    SELECT ${attachmentColumns} FROM attachments a WHERE a.id = ${id}::uuid AND a.user_id = ${userId}::uuid AND a.deleted_at IS NULL`);
  return found;
}

/**
 * Returns the file store.
 *
 * @throws ChatError `FORBIDDEN` if the server stores no files
 */
export function requireFiles({ files }: Pick<Context, 'files'>): FileStore {
  if (!files)
    throw new ChatError('FORBIDDEN', 'This server stores no files. `Server.features` then lacks `attachments`.');
  return files;
}
