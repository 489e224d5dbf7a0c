import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Database, empty, sql, type Sql } from '../../platform/database/database.ts';
import { decodeId } from '../../core/globalIds.ts';
import type { FileStore } from '../../platform/files/fileStore.ts';
import type { Progress } from '../../core/progress.ts';
import { foldName } from '../../core/text/names.ts';
import { exportFiles, folderOf } from './exportFiles.ts';
import type { ExportedAttachment, ExportedChatroom, ExportedMessage, ExportedUser } from './exportFormat.ts';

/** Dependencies of an export. */
export interface ExportContext {
  database: Database;
  progress: Progress;
  /** Store of the bytes of files. Without it, only their descriptions are exported. */
  files?: FileStore | null;
}

/** Maximum number of messages that one statement reads. */
const BATCH_SIZE = 1_000;

/**
 * Writes a room and all its messages to a JSON file, and the files of the messages to a folder next to it.
 *
 * @param chatroomId the global id, or the plain UUID
 * @returns the number of messages
 * @throws Error with a message for the operator, if there is no such room or the file cannot be written
 */
export async function exportChatroom(exporting: ExportContext, chatroomId: string, file: string): Promise<number> {
  const decoded = decodeId(chatroomId);
  const id = decoded?.type === 'Chatroom' ? decoded.key : chatroomId;
  return inSnapshot(exporting.database, async (query) => {
    const room = await findChatroom(query, id);
    if (!room) throw new Error(`There is no chatroom ${chatroomId}.`);
    const { lastNumber, ...head } = room;
    const { files, progress } = exporting;
    if (files && room.avatar) await exportFiles(files, folderOf(file), [room.avatar]);
    const messages = readInBatches<ExportedMessage>(query, progress, lastNumber, (last) =>
      messagesAfter(id, last?.number ?? 0),
    );
    return writeWithMessages(exporting, file, head, messages);
  });
}

/**
 * Writes a JSON file with the account data that a user is entitled to receive, and the files that the user has sent to a
 * folder next to it.
 *
 * @returns the number of messages
 * @throws Error with a message for the operator, if there is no such user or the file cannot be written
 */
export async function exportUser(exporting: ExportContext, username: string, file: string): Promise<number> {
  return inSnapshot(exporting.database, async (query) => {
    const [user] = await query<{ id: string; total: number }>(sql`
      SELECT u.id, (SELECT count(*)::int FROM messages m WHERE m.sender_id = u.id) AS total
        FROM users u WHERE u.username_key = ${foldName(username)}`);
    if (!user) throw new Error(`There is no user "${username}".`);
    const [head] = await query<Omit<ExportedUser, 'messages'>>(userHead(user.id));
    const { files, progress } = exporting;
    if (files && head?.avatar) await exportFiles(files, folderOf(file), [head.avatar]);
    const messages = readInBatches<ExportedUser['messages'][number]>(query, progress, user.total, (last) =>
      messagesOf(user.id, last),
    );
    return writeWithMessages(exporting, file, head ?? {}, messages);
  });
}

/**
 * Runs a read-only transaction on one database snapshot, so that concurrent writes do not make the export inconsistent.
 */
function inSnapshot<Result>(database: Database, read: (query: Database['query']) => Promise<Result>): Promise<Result> {
  return database.transaction(async (query) => {
    await query(sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`);
    return read(query);
  });
}

/**
 * Writes an export to a file and returns the number of messages. Streams the messages, so that memory use is constant.
 */
async function writeWithMessages(
  { files }: ExportContext,
  file: string,
  head: object,
  messages: AsyncIterable<{ attachments?: ExportedAttachment[] | undefined }>,
): Promise<number> {
  let count = 0;
  async function* lines(): AsyncGenerator<string> {
    yield `${JSON.stringify(head).slice(0, -1)},"messages":[`;
    for await (const message of messages) {
      yield `${count === 0 ? '' : ','}\n${JSON.stringify(message)}`;
      if (files) await exportFiles(files, folderOf(file), message.attachments ?? []);
      count += 1;
    }
    yield '\n]}\n';
  }
  // Only the operator may read the file. `open` ignores the mode if the file already exists, so `chmod` sets it again.
  const handle = await open(file, 'w', 0o600);
  await handle.chmod(0o600);
  await pipeline(Readable.from(lines()), handle.createWriteStream());
  return count;
}

/** Reads rows in batches. Each statement continues after the last row of the previous batch. */
async function* readInBatches<Row extends object>(
  query: Database['query'],
  progress: Progress,
  total: number,
  statement: (last: Row | undefined) => Sql,
): AsyncGenerator<Row> {
  progress.start('Messages', total);
  let last: Row | undefined;
  for (;;) {
    const rows = await query<Row>(statement(last));
    yield* rows;
    progress.advance(rows.length);
    last = rows.at(-1);
    if (rows.length < BATCH_SIZE) break;
  }
  progress.done();
}

/** Returns SQL that formats a timestamp for the file. */
const isoTime = (column: Sql): Sql => sql`to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

async function findChatroom(
  query: Database['query'],
  id: string,
): Promise<(Omit<ExportedChatroom, 'messages'> & { lastNumber: number }) | null> {
  if (decodeId(Buffer.from(`Chatroom:${id}`).toString('base64url')) === null) return null;
  const [found] = await query<Omit<ExportedChatroom, 'messages'> & { lastNumber: number }>(sql`
    SELECT 'chatroom' AS parley, 1 AS version, c.last_number AS "lastNumber",
      json_build_object('id', c.id, 'kind', c.kind, 'name', c.name, 'topic', c.topic, 'ownerId', c.owner_id, 'externalId', c.external_id,
        'createdAt', ${isoTime(sql`c.created_at`)}, 'updatedAt', ${isoTime(sql`c.updated_at`)}) AS chatroom,
      (SELECT coalesce(json_agg(json_build_object('userId', m.user_id, 'role', m.role,
          'joinedAt', ${isoTime(sql`m.joined_at`)}, 'lastReadNumber', m.last_read_number) ORDER BY m.joined_at, m.user_id), '[]')
        FROM members m WHERE m.chatroom_id = c.id) AS members,
      (SELECT coalesce(json_agg(json_build_object('id', u.id, 'username', u.username, 'nickname', u.nickname, 'externalId', u.external_id)
          ORDER BY u.username_key), '[]')
        FROM users u WHERE u.id IN (
          SELECT c.owner_id UNION SELECT user_id FROM members WHERE chatroom_id = c.id
          UNION SELECT sender_id FROM messages WHERE chatroom_id = c.id
          UNION SELECT subject_id FROM messages WHERE chatroom_id = c.id
          UNION SELECT user_id FROM reactions WHERE chatroom_id = c.id
          UNION SELECT user_id FROM attachments WHERE id = c.avatar_id)) AS people,
      (SELECT ${attachment} FROM attachments a WHERE a.id = c.avatar_id AND a.state = 'READY') AS avatar
      FROM chatrooms c WHERE c.id = ${id}::uuid`);
  return found ?? null;
}

/** SQL for a file (`a`). */
const attachment = sql`json_build_object('id', a.id, 'userId', a.user_id, 'fileName', a.file_name, 'mediaType', a.media_type,
  'byteSize', a.byte_size, 'sha256', encode(a.sha256, 'hex'), 'object', a.object, 'image', a.image,
  'durationMs', a.duration_ms, 'createdAt', ${isoTime(sql`a.created_at`)})`;

/** SQL for the files of a message (`m`). */
const attachments = sql`(SELECT coalesce(json_agg(${attachment} ORDER BY a.place), '[]')
  FROM attachments a WHERE a.chatroom_id = m.chatroom_id AND a.number = m.number AND a.state = 'READY')`;

const messagesAfter = (chatroomId: string, after: number): Sql => sql`
  SELECT m.number, m.kind, m.sender_id AS "senderId", m.body, m.system_event AS "systemEvent", m.subject_id AS "subjectId",
    m.client_message_id AS "clientMessageId", m.service, m.author_name AS "authorName",
    m.counts_as_unread AS "countsAsUnread", m.reply_to_number AS "replyToNumber", encode(m.sent_digest, 'hex') AS "sentDigest",
    ${isoTime(sql`m.created_at`)} AS "createdAt",
    ${isoTime(sql`m.edited_at`)} AS "editedAt", ${isoTime(sql`m.deleted_at`)} AS "deletedAt",
    (SELECT coalesce(json_agg(json_build_object('emoji', r.emoji, 'userId', r.user_id, 'createdAt', ${isoTime(sql`r.created_at`)})
        ORDER BY r.created_at, r.user_id, r.emoji), '[]')
      FROM reactions r WHERE r.chatroom_id = m.chatroom_id AND r.number = m.number) AS reactions, ${attachments} AS attachments,
    (SELECT coalesce(json_agg(json_build_object('url', p.url, 'title', p.title, 'description', p.description,
        'siteName', p.site_name) ORDER BY l.position, l.id), '[]')
      FROM link_previews l JOIN web_pages p ON p.id = l.page_id
      WHERE l.chatroom_id = m.chatroom_id AND l.number = m.number) AS "linkPreviews"
    FROM messages m WHERE m.chatroom_id = ${chatroomId}::uuid AND m.number > ${after}
    ORDER BY m.number LIMIT ${BATCH_SIZE}`;

/**
 * Returns SQL that reads the next batch of a user's messages after `last`. The order is that of the index
 * `messages_sender_id_chatroom_id_number_idx`, so that each batch costs the same.
 */
const messagesOf = (userId: string, last: { chatroomId: string; number: number } | undefined): Sql => sql`
  SELECT m.chatroom_id AS "chatroomId", m.number, m.body, m.client_message_id AS "clientMessageId",
    ${isoTime(sql`m.created_at`)} AS "createdAt", ${isoTime(sql`m.edited_at`)} AS "editedAt", ${isoTime(sql`m.deleted_at`)} AS "deletedAt",
    ${attachments} AS attachments
    FROM messages m WHERE m.sender_id = ${userId}::uuid
      ${last ? sql`AND (m.chatroom_id, m.number) > (${last.chatroomId}::uuid, ${last.number}::int)` : empty}
    ORDER BY m.chatroom_id, m.number LIMIT ${BATCH_SIZE}`;

const userHead = (id: string): Sql => sql`
  SELECT 'user' AS parley, 1 AS version,
    json_build_object('id', u.id, 'username', u.username, 'nickname', u.nickname, 'bio', u.bio, 'email', u.email,
      'emailVerified', u.email_verified_at IS NOT NULL, 'pendingEmail', u.pending_email, 'friendPolicy', u.friend_policy, 'isBot', u.is_bot, 'externalId', u.external_id, 'externalAvatarUrl', u.external_avatar_url,
      'createdAt', ${isoTime(sql`u.created_at`)}, 'updatedAt', ${isoTime(sql`u.updated_at`)},
      'lastSeenAt', ${isoTime(sql`u.last_seen_at`)}) AS user,
    (SELECT ${attachment} FROM attachments a WHERE a.id = u.avatar_id AND a.state = 'READY') AS avatar,
    (SELECT coalesce(json_agg(json_build_object('id', o.id, 'username', o.username, 'nickname', o.nickname)
        ORDER BY o.username_key), '[]')
      FROM friendships f JOIN users o ON o.id = f.friend_id WHERE f.user_id = u.id) AS friends,
    (SELECT coalesce(json_agg(json_build_object('fromId', r.from_id, 'toId', r.to_id,
        'createdAt', ${isoTime(sql`r.created_at`)}) ORDER BY r.created_at), '[]')
      FROM friend_requests r WHERE u.id IN (r.from_id, r.to_id)) AS "friendRequests",
    (SELECT coalesce(json_agg(json_build_object('id', o.id, 'username', o.username, 'nickname', o.nickname)
        ORDER BY o.username_key), '[]')
      FROM blocks b JOIN users o ON o.id = b.blocked_id WHERE b.blocker_id = u.id) AS "blockedUsers",
    (SELECT coalesce(json_agg(json_build_object('createdAt', ${isoTime(sql`s.created_at`)}, 'lastSeenAt', ${isoTime(sql`s.last_seen_at`)},
        'endedAt', ${isoTime(sql`s.ended_at`)}, 'userAgent', s.user_agent, 'ipAddress', s.ip_address) ORDER BY s.created_at), '[]')
      FROM sessions s WHERE s.user_id = u.id) AS sessions,
    (SELECT coalesce(json_agg(json_build_object('issuer', i.issuer, 'subject', i.subject,
        'createdAt', ${isoTime(sql`i.created_at`)})), '[]')
      FROM identities i WHERE i.user_id = u.id) AS identities,
    (SELECT coalesce(json_agg(json_build_object('platform', d.platform, 'createdAt', ${isoTime(sql`d.created_at`)})
        ORDER BY d.created_at), '[]')
      FROM push_devices d WHERE d.user_id = u.id) AS "pushDevices",
    (SELECT coalesce(json_agg(json_build_object('id', c.id, 'kind', c.kind, 'name', c.name, 'role', m.role,
        'joinedAt', ${isoTime(sql`m.joined_at`)}, 'lastReadNumber', m.last_read_number) ORDER BY m.joined_at, c.id), '[]')
      FROM members m JOIN chatrooms c ON c.id = m.chatroom_id WHERE m.user_id = u.id) AS chatrooms,
    (SELECT coalesce(json_agg(json_build_object('chatroomId', r.chatroom_id, 'number', r.number, 'emoji', r.emoji,
        'createdAt', ${isoTime(sql`r.created_at`)}) ORDER BY r.created_at), '[]')
      FROM reactions r WHERE r.user_id = u.id) AS reactions,
    (SELECT json_build_object('ownerId', b.owner_id, 'scopes', b.scopes) FROM bots b WHERE b.user_id = u.id) AS bot,
    (SELECT coalesce(json_agg(json_build_object('id', o.id, 'username', o.username, 'nickname', o.nickname,
        'scopes', b.scopes, 'createdAt', ${isoTime(sql`b.created_at`)}) ORDER BY b.created_at, o.username_key), '[]')
      FROM bots b JOIN users o ON o.id = b.user_id WHERE b.owner_id = u.id) AS bots,
    (SELECT ${isoTime(sql`a.granted_at`)} FROM admins a WHERE a.user_id = u.id) AS "adminSince",
    (SELECT coalesce(json_agg(json_build_object('action', e.action, 'subject', e.subject, 'reason', e.reason,
        'createdAt', ${isoTime(sql`e.created_at`)}) ORDER BY e.created_at, e.id), '[]')
      FROM audit_entries e WHERE e.actor_id = u.id) AS "auditEntries",
    (SELECT coalesce(json_agg(json_build_object('url', p.url, 'createdAt', ${isoTime(sql`l.created_at`)})
        ORDER BY l.created_at, l.id), '[]')
      FROM link_previews l JOIN web_pages p ON p.id = l.page_id WHERE l.user_id = u.id) AS "linkPreviews"
    FROM users u WHERE u.id = ${id}::uuid`;
