import pg from 'pg';
import { type Database, sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { toVector } from '../search/words.ts';
import { createTogether } from '../together.ts';
import { messageColumns } from './messages.ts';

/** A message on its way into the database. */
export interface Send {
  chatroomId: string;
  userId: string;
  body: string;
  clientMessageId: string | null;
  replyToNumber: number | null;
}

/** What came of it: nothing but the outcome, or the message that is stored. */
export type Sent = Message & {
  outcome: 'SENT' | 'REPEATED' | 'NOT_FOUND' | 'BLOCKED' | 'REPLY_NOT_FOUND' | 'CONFLICT';
  /** Up to where the sender had read before, if sending has moved that on for others to see. */
  seenAfter: number | null;
};

/** Stores a message; it is on disk when this resolves. */
export type Sending = (send: Send) => Promise<Sent>;

/** Two, so that one statement is executed while another one is written to the disk. */
const STATEMENTS_AT_ONCE = 2;
const MOST_TOGETHER = 50;
/** How long a statement with sends to many rooms waits for one of them, which holds up the others. */
const PATIENCE = '200ms';
const FOR_AS_LONG_AS_IT_TAKES = '0';

/**
 * The sending of one node. Those that arrive while others are under way share a statement and a commit.
 *
 * If the statement fails, it stores none of them. If PostgreSQL refused the data of one send, the halves are tried again until
 * that one fails alone. After any other failure, the sends to one room share a statement, one at a time: a room that is locked
 * for long occupies one connection and delays only its own sends. What fails again is sent by itself.
 */
export function createSending(database: Database): Sending {
  const sendTogether = createTogether<Send, Sent | null>((sends) => tryAll(database, sends, PATIENCE), {
    atOnce: STATEMENTS_AT_ONCE,
    most: MOST_TOGETHER,
  });
  const held = new Map<string, { sendTogether: (send: Send) => Promise<Sent | null>; count: number }>();

  async function sendInRoom(send: Send): Promise<Sent | null> {
    const room = held.get(send.chatroomId) ?? {
      sendTogether: createTogether<Send, Sent | null>((sends) => tryAll(database, sends, FOR_AS_LONG_AS_IT_TAKES), {
        atOnce: 1,
        most: MOST_TOGETHER,
      }),
      count: 0,
    };
    held.set(send.chatroomId, room);
    room.count += 1;
    try {
      return await room.sendTogether(send);
    } finally {
      room.count -= 1;
      if (room.count === 0) held.delete(send.chatroomId);
    }
  }

  return async (send) =>
    (held.has(send.chatroomId) ? null : await sendTogether(send)) ??
    (await sendInRoom(send)) ??
    (await sendAlone(database, send));
}

/** Stores sends with one statement. Returns null for each if nothing was stored, and an error for a send that cannot be. */
async function tryAll(database: Database, sends: readonly Send[], patience: string): Promise<(Sent | Error | null)[]> {
  try {
    return await sendAll(database, sends, patience);
  } catch (error) {
    if (isRefused(error)) {
      if (sends.length === 1) return [error];
      // Fifty sends take at most 13 statements: the sends of strangers are neither lost nor sent one by one.
      const middle = Math.ceil(sends.length / 2);
      const first = await tryAll(database, sends.slice(0, middle), patience);
      return [...first, ...(await tryAll(database, sends.slice(middle), patience))];
    }
    if (isUndone(error)) return sends.map(() => null);
    throw error;
  }
}

/** Whether PostgreSQL refused data that it was given: another attempt with the same data cannot succeed. */
function isRefused(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && /^(22|54)/.test(error.code ?? '');
}

/**
 * Whether it is certain that nothing was stored, and another attempt makes sense. Of a statement whose connection broke nobody
 * knows: sent again, a message might be there twice. One that took too long is not tried again.
 */
function isUndone(error: unknown): boolean {
  return error instanceof pg.DatabaseError && !/^(08|57)/.test(error.code ?? '08');
}

async function sendAll(database: Database, sends: readonly Send[], patience: string): Promise<Sent[]> {
  const asked = sends.map((send, place) => ({ ...send, place, search: toVector(send.body) }));
  const sent = await database.prepared<Sent & { place: number }>(sql`
    SELECT s.place, s.outcome, s.seen_after AS "seenAfter", ${messageColumns}
      FROM send_messages(${JSON.stringify(asked)}::json, ${patience}) s CROSS JOIN LATERAL (SELECT (s.message).*) m`);
  const found = new Map(sent.map(({ place, ...each }) => [place, each]));
  return sends.map((_, place) => {
    const one = found.get(place);
    if (!one) throw new Error('send_messages answered nothing.');
    return one;
  });
}

async function sendAlone(database: Database, send: Send): Promise<Sent> {
  const [sent] = await sendAll(database, [send], FOR_AS_LONG_AS_IT_TAKES);
  return sent as Sent;
}
