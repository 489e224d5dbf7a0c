import { type Context, requireViewer, type ServerNode } from '../../core/context.ts';
import { ChatError, notFound } from '../../core/errors.ts';
import { groupBy } from '../../core/groupBy.ts';
import { findLinks } from '../../core/text/links.ts';
import type { Change } from '../../delivery/roomLog.ts';
import type { MaybePromise } from '../../delivery/source.ts';
import { columnsOf, createRowReader, keyTable, sql } from '../../platform/database/database.ts';
import {
  type LinkPreview as Row,
  type Message,
  type Prisma,
  type WebPage,
} from '../../platform/database/generated/client.ts';
import { createLoader } from '../../platform/database/loader.ts';
import { type Jobs, queueJob } from '../../platform/jobQueue.ts';
import { LINK_PREVIEW_COST } from '../../platform/rateLimits/rateLimits.ts';
import { completeChange, requireReadable } from '../messages/changes.ts';
import {
  MAX_LINK_PREVIEWS,
  messageByKey,
  messageKey,
  type MessageWithSender,
  visibleMessages,
} from '../messages/messages.ts';
import { pageFields } from './pageCache.ts';

/** Maximum number of previews that a user has requested and not sent. Requesting one more removes the oldest. */
const MAX_UNSENT = 100;
/** Maximum time that a query waits for other searches of its user, in milliseconds. */
const MAX_WAIT_MS = 1_000;
/**
 * Delays of the job of a message while too many pages are requested, in seconds. After the last one, the message stays without
 * previews.
 */
const DELAYS = [5, 20, 60, 300];

/** A preview of a link, with the metadata that it shows. */
export type LinkPreview = Pick<Row, 'id'> & { page: WebPage };

/** Returns the condition of Prisma Client that a user may see a preview: their own, or one of a message they may read. */
export function visiblePreviews(userId: string): Prisma.LinkPreviewWhereInput {
  return { OR: [{ userId }, { message: visibleMessages(userId) }] };
}

/**
 * Finds the preview of a link. The preview belongs to the viewer, who may send it with a message. A repeated call returns
 * the same preview until the viewer has sent it, or until the page is requested again.
 *
 * @returns null if the page has no metadata, cannot be reached or may not be requested, or if LINK_PREVIEWS is off
 * @throws ChatError `RATE_LIMITED`
 */
export async function findLinkPreview(context: Context, url: string): Promise<LinkPreview | null> {
  const { userId } = requireViewer(context);
  await context.rateLimits.charge(context, LINK_PREVIEW_COST);
  const page = await context.findPage?.(url, { userId, maxWaitMs: MAX_WAIT_MS });
  if (!page) return null;
  const [preview] = await context.database.query<{ id: string }>(sql`
    INSERT INTO link_previews (page_id, user_id) VALUES (${page.id}::uuid, ${userId}::uuid)
      ON CONFLICT (user_id, page_id) WHERE user_id IS NOT NULL DO UPDATE SET created_at = excluded.created_at
      RETURNING id`);
  if (!preview) throw new Error('The preview was not stored.');
  await context.database.query(sql`
    DELETE FROM link_previews WHERE id IN (
      SELECT id FROM link_previews WHERE user_id = ${userId}::uuid ORDER BY created_at DESC, id OFFSET ${MAX_UNSENT})`);
  return { id: preview.id, page };
}

/** The previews of one message. */
interface MessagePreviews {
  key: string;
  previews: LinkPreview[];
}

const pageOf = createRowReader<WebPage>(pageFields, 'page.');

/** Does not check the viewer, because the previews of a message are visible to everyone who may read the message. */
const previewsByKey = createLoader<MessagePreviews>(
  async ({ database }, keys) => {
    const rows = await database.prepared<{ id: string; chatroomId: string; number: number }>(sql`
      SELECT l.id, l.chatroom_id AS "chatroomId", l.number, ${columnsOf('p', pageFields, 'page.')}
        FROM ${keyTable(keys, 'uuid', 'int')} k (chatroom_id, number)
        JOIN link_previews l ON l.chatroom_id = k.chatroom_id AND l.number = k.number
        JOIN web_pages p ON p.id = l.page_id
        ORDER BY l.position, l.id`);
    const groups = groupBy(rows, ({ chatroomId, number }) => messageKey(chatroomId, number));
    return [...groups].map(([key, found]) => ({
      key,
      previews: found.map((row) => ({ id: row.id, page: pageOf(row) })),
    }));
  },
  ({ key }) => key,
);

/** Returns the previews of a message that the viewer may read, in their order. */
export function linkPreviewsOf(context: Context, message: MessageWithSender): MaybePromise<LinkPreview[]> {
  return message.hasLinkPreviews === false ? [] : loadPreviews(context, message);
}

async function loadPreviews(context: Context, { chatroomId, number, isUnchecked }: MessageWithSender) {
  const key = messageKey(chatroomId, number);
  if (isUnchecked && !(await messageByKey(context, key))) return [];
  return (await previewsByKey(context, key))?.previews ?? [];
}

/**
 * Removes a preview from a message. A repeated call changes nothing.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @param previewId null for an id that names no preview
 * @throws ChatError `NOT_FOUND` for an unknown message or a malformed id; `FORBIDDEN` unless the viewer is the
 *   sender, the owner or an admin
 */
export async function removeLinkPreview(
  context: Context,
  key: string | null,
  previewId: string | null,
): Promise<Message> {
  const { chatroomId, number } = await requireReadable(context, key);
  if (previewId === null) throw notFound('link preview');
  const { userId } = requireViewer(context);
  const [change] = await context.database.query<Change>(sql`
    SELECT outcome, seq FROM remove_link_preview(
      ${chatroomId}::uuid, ${number}::int, ${userId}::uuid, ${previewId}::uuid)`);
  if (change?.outcome === 'FORBIDDEN')
    throw new ChatError('FORBIDDEN', 'Only the sender, owners and admins may remove the link previews of a message.');
  return completeChange(context, key, change);
}

/**
 * Adds previews for the first links of a message, as a job. Does nothing if LINK_PREVIEWS is off, or if the message or its
 * sender has been deleted. Queues the job again, with a delay, while too many pages are requested, for the sender or in total. The
 * links of one user therefore do not delay those of others.
 */
export async function previewLinks(
  node: Pick<ServerNode, 'database' | 'findPage' | 'roomTails'>,
  job: Jobs['preview_links'],
): Promise<void> {
  const { database, findPage, roomTails } = node;
  const { chatroomId, number, delays = 0 } = job;
  const [message] = await database.query<{ body: string | null; senderId: string | null }>(sql`
    SELECT body, sender_id AS "senderId" FROM messages
      WHERE chatroom_id = ${chatroomId}::uuid AND number = ${number}::int`);
  if (!findPage || message?.body == null || message.senderId === null) return;
  const searcher = { userId: message.senderId, maxWaitMs: 0 };
  const searches = findLinks(message.body, MAX_LINK_PREVIEWS).map((url) => findPage(url, searcher));
  const pages = await Promise.all(searches).catch((error: unknown) => {
    if (error instanceof ChatError && error.code === 'RATE_LIMITED') return null;
    throw error;
  });
  if (!pages) {
    const delaySeconds = DELAYS[delays];
    if (delaySeconds === undefined) return;
    await queueJob(database.query, 'preview_links', { ...job, delays: delays + 1 }, { delaySeconds });
    return;
  }
  const pageIds = [...new Set(pages.flatMap((page) => page?.id ?? []))];
  if (pageIds.length === 0) return;
  const [change] = await database.query<Change>(sql`
    SELECT outcome, seq FROM add_link_previews(${chatroomId}::uuid, ${number}::int, ${message.body}, ${pageIds}::uuid[])`);
  // The message was edited meanwhile. The pages are cached, so that the links that remain cost no request.
  if (change?.outcome === 'STALE') return previewLinks(node, job);
  if (change?.seq != null) roomTails.notify(chatroomId, change.seq);
}
