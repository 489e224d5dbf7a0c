import pg from 'pg';
import type { ServerNode } from '../../core/context.ts';
import type { RoomEvent } from '../../delivery/roomLog.ts';
import { raw, sql } from '../../platform/database/database.ts';
import type { ChatroomKind } from '../../platform/database/generated/client.ts';
import { toVector } from './tokenizer.ts';
import { createBatcher } from '../../core/batcher.ts';
import { addedEvent } from './addedEvent.ts';
import { columnsWithSender, type MessageWithSender, withSender } from './messages.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    sendQueue: SendQueue;
  }
}

/** A message to be stored. */
export interface Send {
  chatroomId: string;
  userId: string;
  body: string;
  clientMessageId: string | null;
  replyToNumber: number | null;
  /** Ids of attachments in the order in which they are shown; null for a message without attachments. */
  attachmentIds: readonly string[] | null;
  /** Ids of the sender's link previews in the order in which they are shown; null for none. */
  linkPreviewIds?: readonly string[] | null;
  /** AUTO queues the job that finds previews for the links of the message. */
  linkPreviews?: 'AUTO' | null;
  /** Whether the sender is a bot. Its messages are stored by a function of their own, which ends chains of bots. */
  isBot?: boolean;
}

/** Result of a send. */
export interface Sent {
  outcome:
    | 'SENT'
    | 'REPEATED'
    | 'NOT_FOUND'
    | 'BLOCKED'
    | 'REPLY_NOT_FOUND'
    | 'ATTACHMENT_NOT_FOUND'
    | 'LINK_PREVIEW_NOT_FOUND'
    | 'RATE_LIMITED'
    | 'CONFLICT';
  /** The fields of the message are null if `outcome` is BLOCKED or RATE_LIMITED, or ends in NOT_FOUND. */
  message: MessageWithSender;
  /** Event of the message, if `outcome` is SENT. May be null; see `addedEvent`. */
  event: RoomEvent | null;
  /**
   * The sender's read mark before the send. Null if the send cannot have made an earlier message read by all members.
   */
  seenAfter: number | null;
  /** Set if `outcome` is RATE_LIMITED: time until bots may send to the room again, in milliseconds. */
  retryAfterMs: number | null;
}

/** The services that a queue needs, and the SQL function that stores its messages. */
type SendingNode = Pick<ServerNode, 'database' | 'databaseId'> & { isForBots: boolean };

/** Stores a message. The message is on disk when the promise resolves. */
export type SendQueue = (send: Send) => Promise<Sent>;

/**
 * Maximum number of concurrent batches. With two, one batch executes while the commit of the other is written to disk.
 */
const MAX_CONCURRENT_BATCHES = 2;
/** Maximum number of sends in one statement. */
const MAX_BATCH_SIZE = 50;
/**
 * Maximum time that a batch with sends to many rooms waits for the lock of one room. Short, because all sends of the
 * batch wait.
 */
const LOCK_TIMEOUT = '200ms';
/** PostgreSQL's value for no lock timeout. */
const NO_LOCK_TIMEOUT = '0';

/** Creates the send queue of one node. Bots have a queue of their own. */
export function createSendQueue(node: Pick<ServerNode, 'database' | 'databaseId'>): SendQueue {
  const people = createQueue({ ...node, isForBots: false });
  const bots = createQueue({ ...node, isForBots: true });
  return (send) => (send.isBot ? bots : people)(send);
}

/**
 * Creates one queue. Sends that arrive while other sends are being stored share one statement and one
 * commit (group commit).
 *
 * A statement that fails stores none of its sends. The retry depends on the failure:
 *
 * - If PostgreSQL refused the data of a send, the batch is split in halves until that send fails alone.
 * - After any other failure that was rolled back, sends are retried in batches per room, one batch at a time. A room
 *   that is locked for long then occupies one connection and delays only its own sends.
 * - Sends that fail again are retried one by one.
 */
function createQueue(node: SendingNode): SendQueue {
  const sendTogether = createBatcher<Send, Sent | null>((sends) => trySendBatch(node, sends, LOCK_TIMEOUT), {
    concurrency: MAX_CONCURRENT_BATCHES,
    maxBatchSize: MAX_BATCH_SIZE,
  });
  const slowRooms = new Map<string, { sendTogether: (send: Send) => Promise<Sent | null>; count: number }>();

  async function sendSerially(send: Send): Promise<Sent | null> {
    const room = slowRooms.get(send.chatroomId) ?? {
      sendTogether: createBatcher<Send, Sent | null>((sends) => trySendBatch(node, sends, NO_LOCK_TIMEOUT), {
        concurrency: 1,
        maxBatchSize: MAX_BATCH_SIZE,
      }),
      count: 0,
    };
    slowRooms.set(send.chatroomId, room);
    room.count += 1;
    try {
      return await room.sendTogether(send);
    } finally {
      room.count -= 1;
      if (room.count === 0) slowRooms.delete(send.chatroomId);
    }
  }

  return async (send) =>
    (slowRooms.has(send.chatroomId) ? null : await sendTogether(send)) ??
    (await sendSerially(send)) ??
    (await sendAlone(node, send));
}

/**
 * Stores sends with one statement. If PostgreSQL refuses the data of a send, stores each half with its own statement,
 * recursively. Returns one result per send: an error for a refused send, and null for a send that was rolled back and
 * can be retried.
 */
async function trySendBatch(
  node: SendingNode,
  sends: readonly Send[],
  lockTimeout: string,
): Promise<(Sent | Error | null)[]> {
  try {
    return await sendAll(node, sends, lockTimeout);
  } catch (error) {
    if (isRefused(error)) {
      if (sends.length === 1) return [error];
      // Finding one refused send among fifty takes at most 13 statements. The other sends are stored in large batches.
      const middle = Math.ceil(sends.length / 2);
      const first = await trySendBatch(node, sends.slice(0, middle), lockTimeout);
      return [...first, ...(await trySendBatch(node, sends.slice(middle), lockTimeout))];
    }
    if (wasRolledBack(error)) return sends.map(() => null);
    throw error;
  }
}

/** Returns whether PostgreSQL refused the data of a statement. A retry with the same data cannot succeed. */
function isRefused(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && /^(22|54)/.test(error.code ?? '');
}

/**
 * Returns whether a statement certainly stored nothing and is worth a retry. If the connection broke, the outcome is
 * unknown, and a retry could store a message twice. Statements that exceeded their timeout are not retried either.
 */
function wasRolledBack(error: unknown): boolean {
  return error instanceof pg.DatabaseError && !/^(08|57)/.test(error.code ?? '08');
}

async function sendAll(
  { database, databaseId, isForBots }: SendingNode,
  sends: readonly Send[],
  lockTimeout: string,
): Promise<Sent[]> {
  // Leaves out `isBot`, because an unknown key counts as content of the message.
  const rows = sends.map((send) => ({ ...send, isBot: undefined, search: toVector(send.body) }));
  const store = raw(isForBots ? 'store_bot_messages' : 'store_messages');
  const retryAfter = raw(isForBots ? 's.retry_after_ms' : 'NULL::integer');
  const sent = await database.prepared<
    Pick<Sent, 'outcome' | 'seenAfter' | 'retryAfterMs'> & { place: number; roomKind: ChatroomKind | null }
  >(sql`
    SELECT s.place, s.outcome, s.seen_after AS "seenAfter", ${retryAfter} AS "retryAfterMs", c.kind AS "roomKind",
           ${columnsWithSender}
      FROM ${store}(${JSON.stringify(rows)}::jsonb, ${lockTimeout}) s CROSS JOIN LATERAL (SELECT (s.message).*) m
        LEFT JOIN users u ON u.id = m.sender_id
        LEFT JOIN chatrooms c ON c.id = m.chatroom_id`);
  const found = new Map(sent.map((row) => [row.place, row]));
  return sends.map(({ linkPreviewIds }, place) => {
    const row = found.get(place);
    if (!row) throw new Error('store_messages returned no row for a send.');
    const { outcome, roomKind, seenAfter, retryAfterMs } = row;
    const contents = { hasReactions: false, hasLinkPreviews: linkPreviewIds != null };
    const message = { ...withSender(row), ...(outcome === 'SENT' ? contents : {}) };
    const event = outcome === 'SENT' ? addedEvent(databaseId, message, roomKind) : null;
    return { outcome, event, seenAfter, retryAfterMs, message };
  });
}

async function sendAlone(node: SendingNode, send: Send): Promise<Sent> {
  const [sent] = await sendAll(node, [send], NO_LOCK_TIMEOUT);
  return sent as Sent;
}
