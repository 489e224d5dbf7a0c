import { type Database, sql } from '../../platform/database/database.ts';
import type { ChatroomKind } from '../../platform/database/generated/enums.ts';
import { pairKey } from '../../features/relationships/pair.ts';
import { toVector } from '../../features/messages/tokenizer.ts';
import { derivedId } from '../../core/globalIds.ts';
import { emailKey } from '../../core/text/email.ts';
import { fitBody } from '../../core/text/body.ts';
import {
  fitNickname,
  fitRoomName,
  fitTopic,
  fitUsername,
  foldName,
  hasUsernameShape,
  MAX_USERNAME,
} from '../../core/text/names.ts';
import { fillSkeletons } from '../../features/users/keys.ts';

/**
 * User to insert. `id` depends only on the imported data. A repeated import therefore recognises stored users, and
 * completes an interrupted import.
 */
export interface StoredUser {
  id: string;
  /** Name in the source. A name that breaks the rules for usernames is changed. */
  name: string;
  /** Text such as `irc`, which is appended to the username if the username is taken or too short. */
  suffix: string;
  nickname?: string;
  email?: string | null;
  bio?: string;
  passwordHash?: string | null;
  isBot?: boolean;
}

/**
 * Inserts the users that do not exist yet. Sets the password of existing users who have none. Returns the number of new
 * users.
 */
export async function storeUsers(database: Database, users: readonly StoredUser[]): Promise<number> {
  const existing = await database.prisma.user.findMany({ select: { id: true, usernameKey: true, emailKey: true } });
  const ids = new Set(existing.map((user) => user.id));
  const names = new Set(existing.map((user) => user.usernameKey));
  const emails = new Set(existing.map((user) => user.emailKey));
  const data = users
    .filter((user) => !ids.has(user.id))
    .map((user) => {
      const username = findFreeUsername(user, names);
      names.add(foldName(username));
      const nickname = fitNickname(clean(user.nickname ?? user.name)) ?? username;
      const key = user.email ? emailKey(user.email) : null;
      const freeKey = key === null || emails.has(key) ? null : key;
      if (freeKey !== null) emails.add(freeKey);
      return {
        id: user.id,
        username,
        usernameKey: foldName(username),
        nickname,
        nicknameKey: foldName(nickname),
        email: freeKey === null ? null : (user.email ?? null),
        emailKey: freeKey,
        bio: user.bio ?? null,
        isBot: user.isBot ?? false,
      };
    });
  const { count } = await database.prisma.user.createMany({ data, skipDuplicates: true });
  await fillSkeletons(database);
  const withPassword = users.filter((user) => user.passwordHash);
  await database.query(sql`
    UPDATE users u SET password_hash = p.hash
      FROM unnest(${withPassword.map((user) => user.id)}::uuid[], ${withPassword.map((user) => user.passwordHash)}::text[]) p (id, hash)
      WHERE u.id = p.id AND u.password_hash IS NULL`);
  return count;
}

/**
 * Returns a username that is not taken, derived from a name. Replaces invalid characters with '-'. If the result is
 * taken or too short, appends the suffix. If that is taken too, appends the suffix and a number.
 */
function findFreeUsername(user: StoredUser, taken: ReadonlySet<string>): string {
  for (let i = 0; ; i += 1) {
    const tail = i === 0 ? '' : `${user.suffix}${i === 1 ? '' : i}`;
    const base = fitUsername(clean(user.name), i === 0 ? MAX_USERNAME : MAX_USERNAME - 1 - tail.length, '-');
    const name = base && tail ? `${base}.${tail}` : base || tail;
    if (hasUsernameShape(name) && !taken.has(foldName(name))) return name;
  }
}

/**
 * Makes users the bots of their owners. They have no token until their owners rotate it. Existing bots stay unchanged.
 *
 * @param bots ids of the bots and their owners, who must exist, and the scopes
 */
export async function storeBots(
  database: Database,
  bots: readonly { userId: string; ownerId: string; scopes: readonly string[] }[],
): Promise<void> {
  const data = bots.map(({ scopes, ...bot }) => ({ ...bot, scopes: [...scopes] }));
  await database.prisma.bot.createMany({ data, skipDuplicates: true });
}

/** Inserts friendships. Pairs who are already friends stay unchanged. */
export async function storeFriendships(
  database: Database,
  pairs: readonly (readonly [string, string])[],
): Promise<void> {
  const data = pairs.flatMap(([a, b]) => [
    { userId: a, friendId: b },
    { userId: b, friendId: a },
  ]);
  await database.prisma.friendship.createMany({ data, skipDuplicates: true });
}

/** A room to insert. */
export interface StoredChatroom {
  id: string;
  kind: ChatroomKind;
  name?: string | null;
  topic?: string | null;
  /** The first member becomes the room's `ownerId`. This member gets the role OWNER, except in a DIRECT room. */
  memberIds: readonly string[];
  createdAt: Date;
}

/**
 * Inserts a room if it does not exist, and adds the missing members. Returns the id of the room, and whether the room
 * is new.
 */
export async function storeChatroom(database: Database, room: StoredChatroom): Promise<{ id: string; added: boolean }> {
  const { kind, createdAt, memberIds } = room;
  const [first = '', second = ''] = memberIds;
  const directKey = kind === 'DIRECT' ? pairKey(first, second) : null;
  const ownerId = memberIds[0] ?? null;
  const { count } = await database.prisma.chatroom.createMany({
    data: {
      id: room.id,
      kind,
      // An invalid name becomes null. Clients then show the names of the members (`Chatroom.title`).
      name: room.name ? fitRoomName(clean(room.name)) : null,
      topic: room.topic ? fitTopic(clean(room.topic)) : null,
      ownerId,
      directKey,
      createdAt,
      activeAt: createdAt,
    },
    skipDuplicates: true,
  });
  // The two users may already have a DIRECT room with another id. That room is then used.
  const { id } = await database.prisma.chatroom.findUniqueOrThrow({
    where: directKey === null ? { id: room.id } : { directKey },
  });
  await database.prisma.member.createMany({
    data: memberIds.map((userId) => ({
      chatroomId: id,
      userId,
      role: kind !== 'DIRECT' && userId === ownerId ? ('OWNER' as const) : ('MEMBER' as const),
      joinedAt: createdAt,
    })),
    skipDuplicates: true,
  });
  return { id, added: count === 1 };
}

/** A message to insert. */
export interface StoredMessage {
  senderId: string;
  /**
   * Text of the message. A text that is too long is truncated. Null for a message without text. Such a message is
   * stored as deleted, so that the message numbers match the source.
   */
  body: string | null;
  createdAt: Date;
  /** Identifies the message in its room, so that a repeated import skips it. */
  clientMessageId: string;
}

/** Maximum number of messages that one statement inserts. */
export const BATCH_SIZE = 2_000;

/**
 * Appends messages to a room in the given order. Skips messages that are already stored. Each batch locks the room as a
 * send does, so a node may run during the import.
 *
 * @param onStored called after each batch with the number of its messages
 * @returns the number of new messages
 */
export async function storeMessages(
  database: Database,
  chatroomId: string,
  messages: readonly StoredMessage[],
  onStored: (count: number) => void = () => undefined,
): Promise<number> {
  let added = 0;
  for (let start = 0; start < messages.length; start += BATCH_SIZE) {
    const batch = messages.slice(start, start + BATCH_SIZE);
    added += await storeBatch(database, chatroomId, batch);
    onStored(batch.length);
  }
  return added;
}

async function storeBatch(database: Database, chatroomId: string, batch: readonly StoredMessage[]): Promise<number> {
  const rows = JSON.stringify(
    batch.map((message, position) => {
      const body = message.body === null ? null : fitBody(message.body);
      return {
        position,
        sender_id: message.senderId,
        body,
        search: body === null ? null : toVector(body),
        created_at: message.createdAt,
        client_message_id:
          message.clientMessageId.length > 100
            ? derivedId('message', message.clientMessageId)
            : clean(message.clientMessageId),
      };
    }),
  );
  return database.transaction(async (query) => {
    await query(sql`SELECT FROM chatrooms WHERE id = ${chatroomId}::uuid FOR NO KEY UPDATE`);
    const [counted] = await query<{ added: number }>(sql`
      WITH given AS (
        SELECT * FROM jsonb_to_recordset(${rows}::jsonb)
          AS g (position int, sender_id uuid, body text, search tsvector, created_at timestamptz(3), client_message_id text)
      ), missing AS (
        SELECT g.*, row_number() OVER (ORDER BY g.position)::int AS nth FROM given g
          WHERE NOT EXISTS (
            SELECT FROM messages m WHERE m.chatroom_id = ${chatroomId}::uuid
              AND m.sender_id = g.sender_id AND m.client_message_id = g.client_message_id)
      ), stored AS (
        INSERT INTO messages (chatroom_id, number, seq, sender_id, body, search, client_message_id, created_at, deleted_at)
          SELECT c.id, c.last_number + nth, c.last_seq + nth, sender_id, body, search, client_message_id, g.created_at,
                 CASE WHEN body IS NULL THEN g.created_at END
            FROM missing g, chatrooms c WHERE c.id = ${chatroomId}::uuid
          RETURNING chatroom_id, number, seq, created_at
      ), logged AS (
        INSERT INTO events (chatroom_id, seq, kind, number) SELECT chatroom_id, seq, 'MESSAGE_ADDED', number FROM stored
      ), counted AS (
        SELECT count(*)::int AS added, max(created_at) AS latest FROM stored
      )
      UPDATE chatrooms c
        SET last_number = last_number + added, last_seq = last_seq + added,
            last_message_at = greatest(last_message_at, latest), active_at = greatest(last_message_at, latest)
        FROM counted WHERE c.id = ${chatroomId}::uuid AND added > 0 RETURNING added`);
    return counted?.added ?? 0;
  });
}

/** Moves the read mark of each member to the last message of the room. */
export async function markAllRead(database: Database, chatroomId: string): Promise<void> {
  await database.query(sql`
    UPDATE members m SET last_read_number = c.last_number FROM chatrooms c
      WHERE c.id = ${chatroomId}::uuid AND m.chatroom_id = c.id AND m.last_read_number < c.last_number`);
}

/** Moves the read mark of each member forward to the last message that the member has seen. */
export async function markSeen(
  database: Database,
  chatroomId: string,
  seen: readonly { userId: string; clientMessageId: string }[],
): Promise<void> {
  await database.query(sql`
    UPDATE members m SET last_read_number = latest.number FROM (
        SELECT (s->>'userId')::uuid AS user_id, max(number) AS number
          FROM jsonb_array_elements(${JSON.stringify(seen)}::jsonb) s
          JOIN messages ON chatroom_id = ${chatroomId}::uuid AND client_message_id = s->>'clientMessageId'
          GROUP BY 1
      ) latest
      WHERE m.chatroom_id = ${chatroomId}::uuid AND m.user_id = latest.user_id AND m.last_read_number < latest.number`);
}

/** Removes U+0000 and replaces lone surrogates, because PostgreSQL cannot store them. */
function clean(text: string): string {
  return text.toWellFormed().replaceAll('\0', '');
}
