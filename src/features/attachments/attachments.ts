import { type Context, requireViewer } from '../../core/context.ts';
import { groupBy } from '../../core/groupBy.ts';
import type { MaybePromise } from '../../delivery/source.ts';
import { columnsOf, empty, keyTable, sql, type Sql } from '../../platform/database/database.ts';
import { type Attachment, Prisma } from '../../platform/database/generated/client.ts';
import type { AttachmentKind } from '../../platform/database/generated/enums.ts';
import { connect, type Connection, type ConnectionArgs, cursors, keyset } from '../../platform/database/keysetPage.ts';
import { createLoader } from '../../platform/database/loader.ts';
import { isReadable, messageByKey, messageKey, type MessageWithSender, visibleMessages } from '../messages/messages.ts';

/** A variant of an image in the file store. */
export interface StoredVariant {
  object: string;
  byteSize: number;
  sha256: string;
  width: number;
  height: number;
}

/** The column `image` of an attachment. */
export interface StoredImage {
  /** Size of the original in pixels. */
  width: number;
  height: number;
  /** ThumbHash in base64. */
  thumbHash: string;
  preview: StoredVariant;
  thumbnail: StoredVariant;
}

const VARIANTS = ['original', 'preview', 'thumbnail'] as const;
/** Last part of the URL of a file. */
export type Variant = (typeof VARIANTS)[number];

/** Columns of `Attachment`; the table alias is `a`. */
export const attachmentColumns = columnsOf('a', Object.values(Prisma.AttachmentScalarFieldEnum));

/** Returns the variant of an attachment that the last part of a URL names; null for any other text. */
export function variantOf(text: string): Variant | null {
  return VARIANTS.find((variant) => variant === text) ?? null;
}

/** Returns the key of an object of an attachment in the file store. */
export function objectKey(attachmentId: string, object: string): string {
  return `${attachmentId}/${object}`;
}

/** Returns the key to which a client uploads the bytes of an attachment. */
export function uploadKey(attachmentId: string): string {
  return `uploads/${attachmentId}`;
}

/** Returns the URL of a file. It is the same for all users and never changes. */
export function fileUrl({ id }: Pick<Attachment, 'id'>, variant: Variant): string {
  return `/files/${id}/${variant}`;
}

/** Returns the image variants of an attachment that can be read. Null for other files and states. */
export function imageOf({ state, image }: Attachment): StoredImage | null {
  return state === 'READY' ? (image as StoredImage | null) : null;
}

/** The attachments of one message, as the loader returns them. */
interface MessageAttachments {
  key: string;
  attachments: Attachment[];
}

const attachmentsByMessage = createLoader<MessageAttachments>(
  async ({ database }, keys) => {
    const rows = await database.prepared<Attachment>(sql`
      SELECT ${attachmentColumns} FROM ${keyTable(keys, 'uuid', 'int')} k (chatroom_id, number)
        JOIN attachments a ON a.chatroom_id = k.chatroom_id AND a.number = k.number
        ORDER BY a.place`);
    const keyOf = ({ chatroomId, number }: Attachment) => messageKey(chatroomId ?? '', number ?? 0);
    return [...groupBy(rows, keyOf)].map(([key, attachments]) => ({ key, attachments }));
  },
  ({ key }) => key,
);

/** Returns the attachments of a message that the viewer may read, in the order of the send. */
export function attachmentsOf(context: Context, message: MessageWithSender): MaybePromise<Attachment[]> {
  // Undefined in events of nodes of the previous release.
  if ((message.hasAttachments as boolean | undefined) === false) return [];
  return loadAttachments(context, message);
}

async function loadAttachments(context: Context, message: MessageWithSender): Promise<Attachment[]> {
  const key = messageKey(message.chatroomId, message.number);
  // A sender who has lost the room must not learn whether the message has been deleted since.
  if (message.isUnchecked && !(await messageByKey(context, key))) return [];
  return (await attachmentsByMessage(context, key))?.attachments ?? [];
}

const byMessage = keyset({ 'a.number': 'number', 'a.place': 'number' }, 'DESC');

/**
 * Lists the attachments in the messages of a room that the viewer may read, newest first. Leaves out rejected ones.
 *
 * @param kind lists only attachments of this kind
 */
export async function listAttachments(
  context: Context,
  chatroomId: string,
  kind: AttachmentKind | null | undefined,
  args: ConnectionArgs,
): Promise<Connection<Attachment>> {
  const { userId } = requireViewer(context);
  return connect<Attachment>(args, {
    ...cursors('attachments', byMessage, ({ number, place }) => [number ?? 0, place ?? 0]),
    load: (page) =>
      context.database.prepared<Attachment>(sql`
        SELECT ${attachmentColumns}
          FROM attachments a JOIN messages m ON m.chatroom_id = a.chatroom_id AND m.number = a.number
          WHERE a.chatroom_id = ${chatroomId}::uuid AND a.state <> 'REJECTED' AND ${isReadable(sql`${userId}::uuid`)}
            ${kind == null ? empty : sql`AND a.kind = ${kind}::"AttachmentKind"`} ${byMessage.bounds(page)}
          ORDER BY ${byMessage.order(page)} LIMIT ${page.limit}`),
  });
}

/** Returns the condition that finds an attachment by its id, if the viewer uploaded it or may read its message. */
export function visibleAttachment(id: string, viewerId: string): Prisma.AttachmentWhereUniqueInput {
  const isSent = { message: visibleMessages(viewerId) };
  const isOwnUnsent = { userId: viewerId, chatroomId: null };
  return { id, state: { not: 'UPLOADING' }, OR: [isOwnUnsent, isSent] };
}

/** SQL condition that nobody uses an attachment (`a`) as an avatar. */
export const isNoAvatar: Sql = sql`(
  NOT EXISTS (SELECT FROM users u WHERE u.avatar_id = a.id)
    AND NOT EXISTS (SELECT FROM chatrooms c WHERE c.avatar_id = a.id))`;

/** SQL condition that an attachment (`a`) counts as storage of its uploader. */
export const countsAsStorage: Sql = sql`a.state <> 'REJECTED'`;

/** Returns the size of all files of a user together, in bytes. Includes announced uploads. */
export async function usedStorage({ database }: Pick<Context, 'database'>, userId: string): Promise<number> {
  const [found] = await database.prepared<{ used: number }>(sql`
    SELECT coalesce(sum(a.byte_size), 0)::float8 AS used FROM attachments a
      WHERE a.user_id = ${userId}::uuid AND ${countsAsStorage}`);
  return found?.used ?? 0;
}
