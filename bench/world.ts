import { encodeId } from '../src/core/globalIds.ts';
import { createAccessTokens } from '../src/auth/accessTokens.ts';

/**
 * Users, rooms and members, identical for Parley and all rivals. Users and rooms have numbers, which Parley's UUIDs
 * contain.
 */

export const AUTH_SECRET = 'Zm9yIGJlbmNobWFya3M6IGd1YXJkcyBub3RoaW5n';

export const USERS = 12_000;

/** Numbers of the rooms of each benchmark. */
export const ROOMS = {
  /** Room of users 1 to 5,000. */
  hall: 1,
  /** Room of users 1 to 50. */
  talk: 2,
  /** A thousand rooms of 20 users: room `many + k` has the users k, k + 1,000 … k + 9,000 (k from 1), and `SENDERS`. */
  many: 1_000,
  /** Twenty rooms: room `missed + k` has every twentieth of the users 1 to 2,000 (k from 0). */
  missed: 3_000,
  /** A thousand rooms: one user is in 10 of them, one in 100 and one in all. */
  listed: 4_000,
  /** Rooms of users 1 to 5, with a history of 1,000, 100,000 and 1,000,000 messages. */
  small: 6_001,
  middle: 6_002,
  large: 6_003,
  /** Rooms of 50 users with their chat pages open, created by the benchmark `storm`: room `storm + k` (k from 1). */
  storm: 7_000,
} as const;

/** Users who list their rooms, and the number of these rooms. */
export const LISTERS = [
  { user: 11_001, rooms: 10 },
  { user: 11_002, rooms: 100 },
  { user: 11_003, rooms: 1_000 },
] as const;

/** Users who send. They are members of all rooms from `ROOMS.many`. */
export const SENDERS = Array.from({ length: 10 }, (_, i) => 11_101 + i);

/** Returns the rooms with a history, and their numbers of messages. `largest` is the number in the largest room. */
export function historiesOf(largest: number): { room: number; messages: number }[] {
  return [
    { room: ROOMS.small, messages: largest / 1_000 },
    { room: ROOMS.middle, messages: largest / 10 },
    { room: ROOMS.large, messages: largest },
  ];
}

const hex = (n: number) => n.toString(16).padStart(12, '0');
const PREFIX = {
  user: '00000000-0000-4000-8000-',
  session: '00000000-0000-4000-a000-',
  room: '00000000-0000-4000-9000-',
};

export const userUuid = (user: number) => PREFIX.user + hex(user);
export const roomUuid = (room: number) => PREFIX.room + hex(room);
export const roomId = (room: number) => encodeId('Chatroom', roomUuid(room));

/** Returns an SQL expression for the UUID of a number. */
export const uuidOf = (what: keyof typeof PREFIX, n: string) =>
  `('${PREFIX[what]}' || lpad(to_hex(${n}), 12, '0'))::uuid`;

const tokens = createAccessTokens(AUTH_SECRET);

const signed = new Map<number, Promise<string>>();

/** Returns a user's `Authorization` header for Parley. It is valid for 15 minutes, longer than any load lasts. */
export function bearer(user: number): Promise<string> {
  const known = signed.get(user);
  if (known) return known;
  const made = tokens.sign(userUuid(user), PREFIX.session + hex(user)).then(({ token }) => `Bearer ${token}`);
  signed.set(user, made);
  return made;
}

/** SQL that creates temporary tables of rooms and members, by number. */
const WORLD = `
  CREATE TEMP TABLE world_rooms AS
    SELECT unnest(ARRAY[${ROOMS.hall}, ${ROOMS.talk}, ${ROOMS.small}, ${ROOMS.middle}, ${ROOMS.large}]) AS id
    UNION ALL SELECT ${ROOMS.many} + k FROM generate_series(1, 1000) k
    UNION ALL SELECT ${ROOMS.missed} + k FROM generate_series(0, 19) k
    UNION ALL SELECT ${ROOMS.listed} + k FROM generate_series(1, 1000) k;
  CREATE TEMP TABLE world_members AS
    SELECT ${ROOMS.hall} AS room, u AS member FROM generate_series(1, 5000) u
    UNION ALL SELECT ${ROOMS.talk}, u FROM generate_series(1, 50) u
    UNION ALL SELECT ${ROOMS.many} + k, k + 1000 * n FROM generate_series(1, 1000) k, generate_series(0, 9) n
    UNION ALL SELECT ${ROOMS.many} + k, u FROM generate_series(1, 1000) k, unnest(ARRAY[${SENDERS.join()}]) u
    UNION ALL SELECT ${ROOMS.missed} + u % 20, u FROM generate_series(1, 2000) u
    ${LISTERS.map(({ user, rooms }) => `UNION ALL SELECT ${ROOMS.listed} + k, ${user} FROM generate_series(1, ${rooms}) k`).join(' ')}
    UNION ALL SELECT room, u
      FROM unnest(ARRAY[${ROOMS.small}, ${ROOMS.middle}, ${ROOMS.large}]) room, generate_series(1, 5) u;
`;

/** SQL that fills Parley's migrated, empty database. Each room from `ROOMS.listed` gets one message, other rooms none. */
export const PARLEY_WORLD = `
  ${WORLD}
  INSERT INTO users (id, username, username_key, nickname, nickname_key)
    SELECT ${uuidOf('user', 'u')}, 'user-' || u, 'user-' || u, 'User ' || u, 'user ' || u
      FROM generate_series(1, ${USERS}) u;
  INSERT INTO sessions (id, user_id)
    SELECT ${uuidOf('session', 'u')}, ${uuidOf('user', 'u')} FROM generate_series(1, ${USERS}) u;
  INSERT INTO chatrooms (id, kind, name, created_at, active_at, last_number, last_seq, last_message_at)
    SELECT ${uuidOf('room', 'id')}, 'GROUP', 'Room ' || id, at, at, said, said, CASE WHEN said > 0 THEN at END
      FROM world_rooms,
           LATERAL (SELECT now() - id * interval '1 minute' AS at, (id BETWEEN ${ROOMS.listed} + 1 AND ${ROOMS.listed} + 1000)::int AS said);
  INSERT INTO members (chatroom_id, user_id, role)
    SELECT ${uuidOf('room', 'room')}, ${uuidOf('user', 'member')}, 'MEMBER' FROM world_members;
  UPDATE members m SET role = 'OWNER' FROM (
      SELECT DISTINCT ON (chatroom_id) chatroom_id, user_id FROM members ORDER BY chatroom_id, user_id
    ) first WHERE (m.chatroom_id, m.user_id) = (first.chatroom_id, first.user_id);
  UPDATE chatrooms c SET owner_id = m.user_id FROM members m WHERE m.chatroom_id = c.id AND m.role = 'OWNER';
  INSERT INTO messages (chatroom_id, number, seq, sender_id, body, search, created_at)
    SELECT id, 1, 1, owner_id, 'Hello', '''hello'':1', last_message_at FROM chatrooms WHERE last_number = 1;
  INSERT INTO events (chatroom_id, seq, kind, number) SELECT id, 1, 'MESSAGE_ADDED', 1 FROM chatrooms WHERE last_number = 1;
  DROP TABLE world_rooms, world_members;
`;

/** SQL that fills the rivals' empty database. */
export const RIVALS_WORLD = `
  ${WORLD}
  INSERT INTO users SELECT u, 'user-' || u, 'User ' || u FROM generate_series(1, ${USERS}) u;
  INSERT INTO rooms SELECT id, 'Room ' || id FROM world_rooms;
  INSERT INTO members (room_id, user_id) SELECT room, member FROM world_members;
  DROP TABLE world_rooms, world_members;
`;
