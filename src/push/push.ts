import { isActive } from '../auth/expiry.ts';
import { hashToken } from '../auth/tokens.ts';
import { type Context, requireViewer, type ServerNode } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import type { PushDevice } from '../database/generated/client.ts';
import type { PushPlatform } from '../database/generated/enums.ts';
import { badInput, notFound } from '../errors.ts';
import { encodeId } from '../ids.ts';
import { type Jobs, queueJob } from '../jobs.ts';
import { createLoader } from '../loader.ts';
import { messageKey } from '../messages/messages.ts';
import { countUnreadOf, isUnread } from '../reading/reading.ts';
import { isStorable } from '../text/text.ts';
import { type PushSender, pushSubscription } from './senders.ts';

/** How pushes leave this node; a platform that is not configured is absent. */
export interface Pushing {
  senders: Partial<Record<PushPlatform, PushSender>>;
  /** Where browsers' push services are: anywhere else a user could make this server send what they like. */
  webPushOrigins: readonly string[];
  /** What browsers subscribe with. */
  webPushPublicKey: string | null;
}

const MOST_TOKEN_CHARACTERS = 4_096;
/** How many devices a user can have; registering one more forgets the oldest. */
const MOST_DEVICES = 20;
/** How much of a message a notification shows, in characters. */
const MOST_SHOWN = 200;

/**
 * Registers a device of the viewer's, which is told of messages while they are away, as long as this session lives. Registering it again changes nothing;
 * a device that was somebody else's is the viewer's from now on.
 *
 * @throws ChatError `BAD_USER_INPUT` for a platform that this server does not serve, and for what is no token of it
 */
export async function registerPushDevice(context: Context, platform: PushPlatform, token: string): Promise<PushDevice> {
  const { userId, sessionId } = requireViewer(context);
  checkToken(context.push, platform, token);
  return context.database.transaction(async (query) => {
    // One after the other: two at once would each forget the same device, and one too many would stay.
    await query(sql`SELECT FROM users WHERE id = ${userId}::uuid FOR NO KEY UPDATE`);
    const [device] = await query<PushDevice>(sql`
      INSERT INTO push_devices (user_id, session_id, platform, token, token_hash)
        VALUES (${userId}::uuid, ${sessionId}::uuid, ${platform}::"PushPlatform", ${token}, ${hashToken(token)})
        ON CONFLICT (token_hash) DO UPDATE
          SET user_id = excluded.user_id, session_id = excluded.session_id, platform = excluded.platform,
              created_at = CASE WHEN push_devices.user_id = excluded.user_id
                THEN push_devices.created_at ELSE excluded.created_at END
        RETURNING id, user_id AS "userId", platform, created_at AS "createdAt"`);
    if (!device) throw new Error('The device was not stored.');
    await query(sql`
      DELETE FROM push_devices WHERE id IN (
        SELECT id FROM push_devices WHERE user_id = ${userId}::uuid AND id <> ${device.id}::uuid
          ORDER BY created_at DESC, id OFFSET ${MOST_DEVICES - 1})`);
    return device;
  });
}

function checkToken({ senders, webPushOrigins }: Pushing, platform: PushPlatform, token: string): void {
  if (!senders[platform]) throw badInput('input.platform', 'This server does not push to this platform.');
  const path = 'input.token';
  if (token === '' || token.length > MOST_TOKEN_CHARACTERS || !isStorable(token)) {
    throw badInput(path, `A token has 1 to ${MOST_TOKEN_CHARACTERS} characters.`);
  }
  if (platform !== 'WEB_PUSH') return;
  const origin = endpointOrigin(token);
  if (origin === null) throw badInput(path, 'Send the JSON of a PushSubscription.');
  const serves = webPushOrigins.some((allowed) =>
    allowed.startsWith('https://*.')
      ? origin.startsWith('https://') && origin.endsWith(allowed.slice(9))
      : origin === allowed,
  );
  if (!serves) throw badInput(path, `${origin} is no push service that this server knows.`);
}

function endpointOrigin(token: string): string | null {
  try {
    return new URL(pushSubscription.parse(JSON.parse(token)).endpoint).origin;
  } catch {
    return null;
  }
}

/**
 * Forgets a device of the viewer's.
 *
 * @throws ChatError `NOT_FOUND`
 */
export async function unregisterPushDevice(context: Context, deviceId: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  if (deviceId === null) throw notFound('device');
  const { count } = await context.database.prisma.pushDevice.deleteMany({ where: { id: deviceId, userId } });
  if (count === 0) throw notFound('device');
}

/** The viewer's devices, the newest first. Their tokens are shown to nobody. */
export async function listPushDevices(context: Context): Promise<PushDevice[]> {
  const { userId } = requireViewer(context);
  return context.database.prisma.pushDevice.findMany({
    where: { userId },
    orderBy: [{ createdAt: 'desc' }, { id: 'asc' }],
  });
}

/** A device by key, for the one whose it is. */
export const pushDeviceById = createLoader<PushDevice>(
  (context, ids) =>
    context.database.prisma.pushDevice.findMany({
      where: { id: { in: [...ids] }, userId: requireViewer(context).userId },
    }),
  (device) => device.id,
);

/** Those are told of a message to whom it is unread: it is counted in what the push says. */
const concerns = isUnread(sql`v.user_id`);

/** The job that finds the devices to be told of a message: those of members who are away. */
export async function pushMessage(
  { database, presence }: Pick<ServerNode, 'database' | 'presence'>,
  { chatroomId, number }: Jobs['push_message'],
): Promise<void> {
  const devices = await database.query<{ id: string; userId: string }>(sql`
    SELECT d.id, d.user_id AS "userId"
      FROM messages m JOIN members v ON v.chatroom_id = m.chatroom_id JOIN push_devices d ON d.user_id = v.user_id
        JOIN sessions s ON s.id = d.session_id AND ${isActive(sql`s`)}
      WHERE m.chatroom_id = ${chatroomId}::uuid AND m.number = ${number} AND ${concerns}`);
  const online = await presence.online([...new Set(devices.map((device) => device.userId))]);
  const away = devices.filter((device) => !online.has(device.userId));
  // All or none: a job that is run again must not tell some of them twice.
  await database.transaction(async (query) => {
    for (const { id } of away) await queueJob(query, 'push_device', { deviceId: id, chatroomId, number });
  });
}

/** The job that tells one device of a message, if that is still news to its owner. */
export async function pushDevice(
  { database, push }: Pick<ServerNode, 'database' | 'push'>,
  job: Jobs['push_device'],
): Promise<void> {
  const found = await findNews(database, job);
  const send = found && push.senders[found.platform];
  if (!send) return;
  const outcome = await send(found.token, {
    title: found.name ?? found.nickname ?? '',
    body: found.name === null ? found.body : `${found.nickname ?? ''}: ${found.body}`,
    data: {
      chatroomId: encodeId('Chatroom', job.chatroomId),
      messageId: encodeId('Message', messageKey(job.chatroomId, job.number)),
      number: String(job.number),
      unreadCount: String(await countUnreadOf(database, found.userId)),
    },
  });
  if (outcome === 'GONE') await database.prisma.pushDevice.deleteMany({ where: { id: job.deviceId } });
}

async function findNews(database: Database, { deviceId, chatroomId, number }: Jobs['push_device']) {
  const [found] = await database.query<{
    userId: string;
    platform: PushPlatform;
    token: string;
    /** The room's; null for a DIRECT one. */
    name: string | null;
    nickname: string | null;
    body: string;
  }>(sql`
    SELECT d.user_id AS "userId", d.platform, d.token, c.name, s.nickname, left(m.body, ${MOST_SHOWN}::int) AS body
      FROM push_devices d JOIN sessions live ON live.id = d.session_id AND ${isActive(sql`live`)}
      JOIN members v ON v.user_id = d.user_id
      JOIN messages m ON m.chatroom_id = v.chatroom_id JOIN chatrooms c ON c.id = m.chatroom_id
      LEFT JOIN users s ON s.id = m.sender_id
      WHERE d.id = ${deviceId}::uuid AND m.chatroom_id = ${chatroomId}::uuid AND m.number = ${number} AND ${concerns}`);
  return found;
}
