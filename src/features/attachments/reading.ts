import { create as contentDisposition } from 'content-disposition';
import type { ServerNode } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import type { Attachment } from '../../platform/database/generated/client.ts';
import { visibleTo } from '../chatrooms/chatrooms.ts';
import { isReadable } from '../messages/messages.ts';
import { attachmentColumns, imageOf, objectKey, type StoredVariant, type Variant } from './attachments.ts';

/** A file that a user may read now. */
export interface ReadableFile {
  /** Key of the object in the file store. */
  key: string;
  byteSize: number;
  mediaType: string;
  /** Content-Disposition header: `inline`, or `attachment` for types that a browser could execute. */
  disposition: string;
  /** Identifies the bytes. */
  etag: string;
}

/**
 * Media types that browsers display without executing anything. All other files are downloads: a browser would run the
 * scripts of HTML, SVG, XML and PDF.
 */
const INLINE = new Set([
  ...['image/jpeg', 'image/png', 'image/apng', 'image/gif', 'image/webp', 'image/avif'],
  ...['audio/mpeg', 'audio/mp4', 'audio/x-m4a', 'audio/aac', 'audio/ogg', 'audio/opus', 'audio/wav', 'audio/webm'],
  ...['audio/flac', 'audio/x-flac', 'video/mp4', 'video/webm', 'video/ogg', 'video/quicktime'],
]);

/** Media types that a page of this origin could load as a script or a style, in spite of `nosniff` and its policy `'self'`. */
const LOADED = /^(text|application)\/(x-)?(java|ecma|j|live)script[\d.]*$|^text\/css$/;

/**
 * Returns a file, if it is ready and the viewer may read it. The members who may read a message may read its files.
 * Unsent files can be read by their uploader, avatars of users by everybody who is signed in, and avatars of rooms by
 * the users who may see the room. Others than the uploader read only the thumbnail of an avatar, because a photo may show
 * more at its full size than its owner wants to show to strangers.
 */
export async function findReadableFile(
  { database }: Pick<ServerNode, 'database'>,
  viewerId: string,
  attachmentId: string,
  variant: Variant,
): Promise<ReadableFile | null> {
  const viewer = sql`${viewerId}::uuid`;
  const [found] = await database.prepared<Attachment>(sql`
    SELECT ${attachmentColumns} FROM attachments a
        LEFT JOIN messages m ON m.chatroom_id = a.chatroom_id AND m.number = a.number
      WHERE a.id = ${attachmentId}::uuid AND a.state = 'READY' AND CASE
        WHEN a.chatroom_id IS NOT NULL THEN ${isReadable(viewer)}
        ELSE (${variant === 'thumbnail'}::boolean OR a.user_id = ${viewer})
          AND (EXISTS (SELECT FROM users u WHERE u.avatar_id = a.id)
            OR coalesce((SELECT ${visibleTo(viewer)} FROM chatrooms c WHERE c.avatar_id = a.id), a.user_id = ${viewer})) END`);
  if (!found) return null;
  const { id, object, mediaType, byteSize, sha256, fileName } = found;
  const type = INLINE.has(mediaType) ? 'inline' : 'attachment';
  if (variant === 'original')
    return object === null
      ? null
      : {
          ...{ key: objectKey(id, object), byteSize, mediaType: LOADED.test(mediaType) ? 'text/plain' : mediaType },
          disposition: contentDisposition(fileName, { type }),
          etag: `"${Buffer.from(sha256).toString('base64url')}"`,
        };
  const stored = imageOf(found)?.[variant];
  return stored ? toReadableWebp(id, stored) : null;
}

/** Returns the file of an image that the server has encoded. `id` is the first part of its key. */
export function toReadableWebp(id: string, { object, byteSize, sha256 }: StoredVariant): ReadableFile {
  return {
    ...{ key: objectKey(id, object), byteSize, mediaType: 'image/webp', disposition: 'inline' },
    etag: `"${Buffer.from(sha256, 'hex').toString('base64url')}"`,
  };
}
