import { type Database, sql } from '../../platform/database/database.ts';
import {
  type ExportedAttachment,
  type ExportedChatroom,
  exportedChatroom,
  type ExportedMessage,
  type ExportedUser,
  exportedUser,
} from '../export/exportFormat.ts';
import { importFiles } from '../export/exportFiles.ts';
import { pairKey } from '../../features/relationships/pair.ts';
import { toVector } from '../../features/messages/tokenizer.ts';
import type { ImportContext, ImportSummary } from './importing.ts';
import { countReason, createDateCorrection } from './conversation.ts';
import { storeAvatar } from './avatars.ts';
import { BATCH_SIZE, storeBots, storeFriendships, storeUsers } from './bulkInsert.ts';

/** Parses the export of a room. Returns null for anything else. */
export function readExportedChatroom(data: unknown): ExportedChatroom | null {
  return exportedChatroom.safeParse(data).data ?? null;
}

/** Parses the export of a user. Returns null for anything else. */
export function readExportedUser(data: unknown): ExportedUser | null {
  return exportedUser.safeParse(data).data ?? null;
}

/**
 * Restores an exported room with its message numbers, in one transaction. First creates accounts without passwords for
 * users who do not exist yet. If the room already exists, leaves it unchanged and counts it as skipped.
 *
 * @param folder folder with the bytes of the files. A file whose bytes are missing is skipped.
 */
export async function importChatroom(
  importing: ImportContext,
  exported: ExportedChatroom,
  folder: string,
): Promise<ImportSummary> {
  const { database, files, progress } = importing;
  const summary: ImportSummary = { users: 0, chatrooms: 0, messages: 0, skipped: {}, changed: {} };
  const { chatroom, members, people, messages } = correctDates(exported, summary.changed);
  summary.users = await storeUsers(
    database,
    people.map(({ id, username, nickname }) => ({ id, name: username, nickname, suffix: 'import' })),
  );
  await storeExternalIds(database, people, summary.skipped);
  const directKey = chatroom.kind === 'DIRECT' ? directKeyOf(chatroom, members) : null;
  if (await roomExists(database, chatroom, directKey)) {
    countReason(summary.skipped, 'a chatroom that already exists');
    return summary;
  }
  const externalId = await freeExternalId(database, chatroom.externalId ?? null, summary.skipped);
  progress.start('Messages', messages.length);
  await database.transaction(async (query) => {
    const last = messages.at(-1);
    await query(sql`
      INSERT INTO chatrooms (id, kind, name, topic, owner_id, direct_key, external_id, created_at, updated_at, last_number,
                             last_seq, last_message_at, active_at)
        VALUES (${chatroom.id}::uuid, ${chatroom.kind}::"ChatroomKind", ${chatroom.name}, ${chatroom.topic},
                ${chatroom.ownerId}::uuid, ${directKey}, ${externalId}, ${chatroom.createdAt}::timestamptz, ${chatroom.updatedAt}::timestamptz,
                ${last?.number ?? 0}, ${last?.number ?? 0}, ${last?.createdAt ?? null}::timestamptz,
                ${last?.createdAt ?? chatroom.createdAt}::timestamptz)`);
    await query(sql`
      INSERT INTO members (chatroom_id, user_id, role, joined_at, last_read_number)
        SELECT ${chatroom.id}::uuid, g."userId", g.role, g."joinedAt", g."lastReadNumber"
          FROM jsonb_to_recordset(${JSON.stringify(members)}::jsonb)
            AS g ("userId" uuid, role "MemberRole", "joinedAt" timestamptz, "lastReadNumber" int)`);
    for (let start = 0; start < messages.length; start += BATCH_SIZE) {
      const batch = messages.slice(start, start + BATCH_SIZE);
      await storeBatch(query, chatroom.id, batch);
      const attachments = batch.flatMap((message) => message.attachments ?? []);
      const stored = files ? await importFiles(files, folder, attachments) : [];
      attachments.slice(stored.length).forEach(() => {
        countReason(summary.skipped, 'a file without its bytes');
      });
      await storeAttachments(query, chatroom.id, batch, stored);
      progress.advance(batch.length);
    }
    const target = { files, folder, skipped: summary.skipped };
    await storeAvatar(query, target, { table: 'chatrooms', id: chatroom.id, avatar: exported.avatar });
  });
  progress.done();
  return { ...summary, chatrooms: 1, messages: messages.length };
}

/** Gives imported users their external ids. Skips ids that other users have, and users who have an id. */
async function storeExternalIds(
  database: Database,
  people: readonly { id: string; externalId?: string | null | undefined }[],
  skipped: Record<string, number>,
): Promise<void> {
  const given = people.filter(({ externalId }) => externalId != null);
  if (given.length === 0) return;
  const ids = given.map(({ id }) => id);
  const externalIds = given.map(({ externalId }) => externalId ?? '');
  await database.query(sql`
    UPDATE users u SET external_id = g.external_id
      FROM unnest(${ids}::uuid[], ${externalIds}::text[]) g (id, external_id)
      WHERE u.id = g.id AND u.external_id IS NULL
        AND NOT EXISTS (SELECT FROM users other WHERE other.external_id = g.external_id)`);
  const stored = await database.query(sql`
    SELECT FROM users u JOIN unnest(${ids}::uuid[], ${externalIds}::text[]) g (id, external_id)
      ON u.id = g.id AND u.external_id = g.external_id`);
  for (let i = stored.length; i < given.length; i += 1) countReason(skipped, 'an external id of another user');
}

/** Returns the external id of an imported room, or null if another room has it. */
async function freeExternalId(
  database: Database,
  externalId: string | null,
  skipped: Record<string, number>,
): Promise<string | null> {
  if (externalId === null || !(await database.prisma.chatroom.findUnique({ where: { externalId } }))) return externalId;
  countReason(skipped, 'an external id of another chatroom');
  return null;
}

/** Returns the room with its dates corrected by {@link createDateCorrection}. */
function correctDates(exported: ExportedChatroom, changed: Record<string, number>): ExportedChatroom {
  const correctDate = createDateCorrection(changed);
  const correct = (text: string) => correctDate(new Date(text)).toISOString();
  const correctOptional = (text: string | null) => (text === null ? null : correct(text));
  const { chatroom, members, messages } = exported;
  return {
    ...exported,
    chatroom: { ...chatroom, createdAt: correct(chatroom.createdAt), updatedAt: correct(chatroom.updatedAt) },
    members: members.map((member) => ({ ...member, joinedAt: correct(member.joinedAt) })),
    messages: messages.map((message) => ({
      ...message,
      createdAt: correct(message.createdAt),
      editedAt: correctOptional(message.editedAt),
      deletedAt: correctOptional(message.deletedAt),
      reactions: message.reactions.map((reaction) => ({ ...reaction, createdAt: correct(reaction.createdAt) })),
    })),
  };
}

/** Returns true if the room exists, or if the same two users have another DIRECT room. */
async function roomExists(database: Database, { id }: { id: string }, directKey: string | null): Promise<boolean> {
  const keys = [{ id }, ...(directKey === null ? [] : [{ directKey }])];
  return (await database.prisma.chatroom.count({ where: { OR: keys } })) > 0;
}

/**
 * Returns the unique key of a DIRECT room, which is derived from the ids of its two members. If one account has been
 * deleted, returns the id of the room, because the remaining member may have several such rooms.
 */
function directKeyOf({ id }: { id: string }, members: ExportedChatroom['members']): string {
  const [a, b] = members;
  return a && b ? pairKey(a.userId, b.userId) : id;
}

/** Stores messages, each with one log event, so that the log has no gap. */
async function storeBatch(
  query: Database['query'],
  chatroomId: string,
  batch: readonly ExportedMessage[],
): Promise<void> {
  const rows = JSON.stringify(
    batch.map((message) => ({
      ...message,
      search: message.kind === 'USER' && message.body !== null ? toVector(message.body) : null,
    })),
  );
  await query(sql`
    WITH given AS (
      SELECT * FROM jsonb_to_recordset(${rows}::jsonb) AS g (
        number int, kind "MessageKind", "senderId" uuid, body text, search tsvector, "systemEvent" "SystemEvent",
        "subjectId" uuid, "clientMessageId" text, service text, "authorName" text, "countsAsUnread" boolean, "sentDigest" text, "replyToNumber" int, "createdAt" timestamptz, "editedAt" timestamptz,
        "deletedAt" timestamptz, reactions jsonb)
    ), stored AS (
      INSERT INTO messages (chatroom_id, number, seq, kind, sender_id, body, search, system_event, subject_id,
                            client_message_id, service, author_name, counts_as_unread, sent_digest, reply_to_number,
                            created_at, edited_at, deleted_at)
        SELECT ${chatroomId}::uuid, number, number, kind, "senderId", body, search, "systemEvent", "subjectId",
               "clientMessageId", service, "authorName", coalesce("countsAsUnread", false), decode("sentDigest", 'hex'), "replyToNumber", "createdAt", "editedAt", "deletedAt" FROM given
        RETURNING number
    )
    INSERT INTO events (chatroom_id, seq, kind, number) SELECT ${chatroomId}::uuid, number, 'MESSAGE_ADDED', number FROM stored`);
  await query(sql`
    INSERT INTO reactions (chatroom_id, number, emoji, user_id, created_at)
      SELECT ${chatroomId}::uuid, (g->>'number')::int, r->>'emoji', (r->>'userId')::uuid, (r->>'createdAt')::timestamptz
        FROM jsonb_array_elements(${rows}::jsonb) g, jsonb_array_elements(g->'reactions') r`);
  // `fetched_at` is the time of the message, so that a new preview of the page does not come from the import.
  await query(sql`
    WITH given AS MATERIALIZED (
      SELECT gen_random_uuid() AS page_id, g, p.value AS page, p.ordinality AS position
        FROM jsonb_array_elements(${rows}::jsonb) g, jsonb_array_elements(g->'linkPreviews') WITH ORDINALITY p
    ), pages AS (
      INSERT INTO web_pages (id, url, title, description, site_name, fetched_at)
        SELECT page_id, page->>'url', page->>'title', page->>'description', page->>'siteName', (g->>'createdAt')::timestamptz
          FROM given
    )
    INSERT INTO link_previews (page_id, chatroom_id, number, position)
      SELECT page_id, ${chatroomId}::uuid, (g->>'number')::int, position FROM given`);
}

/** Stores the files of messages, whose bytes are in the file store. */
async function storeAttachments(
  query: Database['query'],
  chatroomId: string,
  batch: readonly ExportedMessage[],
  stored: readonly ExportedAttachment[],
): Promise<void> {
  const ids = new Set(stored.map(({ id }) => id));
  const rows = batch.flatMap(({ number, attachments = [] }) =>
    attachments.filter(({ id }) => ids.has(id)).map((attachment, place) => ({ ...attachment, number, place })),
  );
  if (rows.length === 0) return;
  await query(sql`
    WITH given AS (
      SELECT * FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS g (
        id uuid, "userId" uuid, "fileName" text, "mediaType" text, "byteSize" int, sha256 text, object text, image jsonb,
        "durationMs" int, "createdAt" timestamptz, number int, place smallint)
    ), marked AS (
      UPDATE messages m SET has_attachments = true FROM given g
        WHERE m.chatroom_id = ${chatroomId}::uuid AND m.number = g.number
    )
    INSERT INTO attachments (id, user_id, state, file_name, media_type, byte_size, sha256, object, image, duration_ms,
                             created_at, chatroom_id, number, place)
      SELECT id, "userId", 'READY', "fileName", "mediaType", "byteSize", decode(sha256, 'hex'), object,
             nullif(image, 'null'), "durationMs", "createdAt", ${chatroomId}::uuid, number, place FROM given`);
}

/**
 * Restores an exported user without a password. Restores a friendship or block if the other user exists, and a bot if both
 * the bot and its owner exist. Restores the avatar. The owner rotates the token of the bot, which is not exported. Does not restore
 * rooms, because each room has its own export, nor the grant of an admin, because only the operator makes admins. If the
 * user already exists, changes nothing.
 */
export async function importUser(
  { database, files }: ImportContext,
  exported: ExportedUser,
  folder: string,
): Promise<ImportSummary> {
  const { user, friends, blockedUsers, bot, bots = [] } = exported;
  const summary: ImportSummary = { users: 0, chatrooms: 0, messages: 0, skipped: {}, changed: {} };
  const { id, username, nickname, email, bio, isBot } = user;
  summary.users = await storeUsers(database, [
    { id, name: username, nickname, suffix: 'import', email, isBot, ...(bio === null ? {} : { bio }) },
  ]);
  if (summary.users === 0) {
    countReason(summary.skipped, 'a user who already exists');
    return summary;
  }
  await storeExternalIds(database, [user], summary.skipped);
  await database.prisma.user.update({ where: { id }, data: { friendPolicy: user.friendPolicy } });
  const existing = await database.prisma.user.findMany({
    where: {
      id: { in: [...[...friends, ...blockedUsers, ...bots].map((other) => other.id), ...(bot ? [bot.ownerId] : [])] },
    },
    select: { id: true },
  });
  const existingIds = new Set(existing.map((other) => other.id));
  await storeFriendships(
    database,
    friends.filter((friend) => existingIds.has(friend.id)).map((friend) => [id, friend.id] as const),
  );
  await storeBots(database, [
    ...(bot && existingIds.has(bot.ownerId) ? [{ userId: id, ...bot }] : []),
    ...bots
      .filter((each) => existingIds.has(each.id))
      .map(({ id: userId, scopes }) => ({ userId, ownerId: id, scopes })),
  ]);
  await database.prisma.block.createMany({
    data: blockedUsers
      .filter((other) => existingIds.has(other.id))
      .map((other) => ({ blockerId: id, blockedId: other.id })),
    skipDuplicates: true,
  });
  const target = { files, folder, skipped: summary.skipped };
  await storeAvatar(database.query, target, { table: 'users', id, avatar: exported.avatar });
  return summary;
}
