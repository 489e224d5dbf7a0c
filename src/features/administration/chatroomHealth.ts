import { type Database, sql } from '../../platform/database/database.ts';

/** State of a room: its members, messages and log. */
export interface Health {
  kind: string;
  members: number;
  owners: number;
  lastNumber: number;
  messages: number;
  highestNumber: number | null;
  deleted: number;
  lastSeq: number;
  events: number;
  firstSeq: number | null;
  highestSeq: number | null;
  readTooFar: number;
  lastMessageAt: string | null;
}

/** Returns the state of a room. Undefined if there is no such room. */
export async function readHealth({ query }: Pick<Database, 'query'>, chatroomId: string): Promise<Health | undefined> {
  // One statement, so that all values come from one snapshot even during writes.
  const [health] = await query<Health>(sql`
    SELECT c.kind::text,
      (SELECT count(*)::int FROM members m WHERE m.chatroom_id = c.id) AS members,
      (SELECT count(*)::int FROM members m WHERE m.chatroom_id = c.id AND m.role = 'OWNER') AS owners,
      c.last_number AS "lastNumber", m.messages, m."highestNumber", m.deleted,
      c.last_seq AS "lastSeq", e.events, e."firstSeq", e."highestSeq",
      (SELECT count(*)::int FROM members m WHERE m.chatroom_id = c.id AND m.last_read_number > c.last_number) AS "readTooFar",
      to_char(c.last_message_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "lastMessageAt"
      FROM chatrooms c,
        LATERAL (SELECT count(*)::int AS messages, max(number) AS "highestNumber",
            count(deleted_at)::int AS deleted FROM messages WHERE chatroom_id = c.id) m,
        LATERAL (SELECT count(*)::int AS events, min(seq) AS "firstSeq", max(seq) AS "highestSeq"
          FROM events WHERE chatroom_id = c.id) e
      WHERE c.id = ${chatroomId}::uuid`);
  return health;
}

/** Returns the inconsistencies of a room, as texts for the operator. */
export function faultsOf(health: Health): string[] {
  const { kind, owners, lastNumber, messages, highestNumber, lastSeq, events, firstSeq, highestSeq } = health;
  const expected = highestSeq === null || firstSeq === null ? 0 : highestSeq - firstSeq + 1;
  const faults: [boolean, string][] = [
    [
      (highestNumber ?? 0) !== lastNumber,
      `the last message is ${highestNumber ?? 0}, but the room records ${lastNumber}`,
    ],
    [
      messages !== (highestNumber ?? 0),
      `${(highestNumber ?? 0) - messages} messages are missing between the first and the last`,
    ],
    [(highestSeq ?? 0) !== lastSeq, `the log ends with ${highestSeq ?? 0}, but the room records ${lastSeq}`],
    [events !== expected, `${expected - events} events are missing between the first and the last`],
    [health.readTooFar > 0, `${health.readTooFar} members have a read mark after the last message`],
    [kind !== 'DIRECT' && health.members > 0 && owners !== 1, `the room has ${owners} owners instead of 1`],
  ];
  return faults.flatMap(([applies, fault]) => (applies ? [fault] : []));
}
