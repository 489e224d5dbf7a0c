import { isActive } from '../../auth/sessionExpiry.ts';
import { hashToken } from '../../auth/accessTokens.ts';
import { type Context, requireViewer, type ServerNode } from '../../core/context.ts';
import { columnsOf, type Database, sql } from '../../platform/database/database.ts';
import { Prisma, type PushDevice } from '../../platform/database/generated/client.ts';
import type { PushPlatform } from '../../platform/database/generated/enums.ts';
import { badInput, notFound } from '../../core/errors.ts';
import { encodeId } from '../../core/globalIds.ts';
import { type Jobs, queueJob } from '../../platform/jobQueue.ts';
import { messageKey } from '../messages/messages.ts';
import { countUnreadOfUsers, isUnread } from '../readReceipts/unreadCounts.ts';
import { isStorable } from '../../core/text/text.ts';
import { type PushSender, pushSubscription } from './providers.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    push: PushConfig;
  }
}

/** Push configuration of this node. */
export interface PushConfig {
  /** Sender of each configured platform. */
  senders: Partial<Record<PushPlatform, PushSender>>;
  /**
   * Allowed origins of Web Push endpoints. Without this list, users could make the server send requests to any host.
   */
  webPushOrigins: readonly string[];
  /** VAPID public key with which browsers subscribe. Null if Web Push is not configured. */
  webPushPublicKey: string | null;
}

/** Maximum length of a device token, in characters. A longer token is refused. */
const MAX_TOKEN_CHARACTERS = 4_096;
/** Maximum number of devices of a user. Registering one more removes the oldest. */
const MAX_DEVICES = 20;
/** Maximum number of characters of a message in a notification. Longer messages are truncated. */
const MAX_BODY_CHARACTERS = 200;

/**
 * Registers a device. The device receives notifications of messages while the viewer is offline, until the current
 * session ends. Registering the device again binds it to the current session. A device that another user has registered
 * becomes the viewer's.
 *
 * @throws ChatError `BAD_USER_INPUT` if the platform is not configured, or if the token is invalid for the platform
 */
export async function registerPushDevice(context: Context, platform: PushPlatform, token: string): Promise<PushDevice> {
  const { userId, sessionId } = requireViewer(context);
  checkToken(context.push, platform, token);
  return context.database.transaction(async (query) => {
    // Locks the user, so that registrations run one after the other. Two concurrent registrations would both remove the
    // same oldest device, and one device too many would remain.
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
          ORDER BY created_at DESC, id OFFSET ${MAX_DEVICES - 1})`);
    return device;
  });
}

function checkToken({ senders, webPushOrigins }: PushConfig, platform: PushPlatform, token: string): void {
  if (!senders[platform])
    throw badInput(
      'input.platform',
      'This server does not push to this platform. Query `Server.features`, which lists `fcm` and `web-push` if they are configured.',
    );
  const path = 'input.token';
  if (token === '' || token.length > MAX_TOKEN_CHARACTERS || !isStorable(token)) {
    throw badInput(path, `A token has 1 to ${MAX_TOKEN_CHARACTERS} characters.`);
  }
  if (platform !== 'WEB_PUSH') return;
  const origin = endpointOrigin(token);
  if (origin === null)
    throw badInput(path, 'This is not a valid push subscription. Send the JSON of a PushSubscription.');
  const serves = webPushOrigins.some((allowed) =>
    allowed.startsWith('https://*.')
      ? origin.startsWith('https://') && origin.endsWith(allowed.slice(9))
      : origin === allowed,
  );
  if (!serves)
    throw badInput(
      path,
      `${origin} is not a push service that this server allows. Ask the operator to add it to WEB_PUSH_ORIGINS.`,
    );
}

function endpointOrigin(token: string): string | null {
  try {
    return new URL(pushSubscription.parse(JSON.parse(token)).endpoint).origin;
  } catch {
    return null;
  }
}

const deviceColumns = columnsOf('d', Object.values(Prisma.PushDeviceScalarFieldEnum));

/** Lists the devices of the viewer, newest first. */
export function listDevices(context: Context): Promise<PushDevice[]> {
  return context.database.query<PushDevice>(sql`
    SELECT ${deviceColumns} FROM push_devices d
      WHERE d.user_id = ${requireViewer(context).userId}::uuid ORDER BY d.created_at DESC, d.id`);
}

/**
 * Removes a device of the viewer.
 *
 * @throws ChatError `NOT_FOUND` if the viewer has no such device
 */
export async function unregisterPushDevice(context: Context, deviceId: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  if (deviceId === null) throw notFound('device');
  const { count } = await context.database.prisma.pushDevice.deleteMany({ where: { id: deviceId, userId } });
  if (count === 0) throw notFound('device');
}

/**
 * SQL condition that a member is notified of a message. Equals the condition for unread counts, because the
 * notification shows the member's unread count.
 */
const concerns = isUnread(sql`v.user_id`);

/** Job that queues a push of a message for each device of the members who are offline. */
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
  // Queues all jobs in one transaction. Otherwise, a retry after a partial failure could notify some devices twice.
  await database.transaction(async (query) => {
    for (const { id } of away) await queueJob(query, 'push_device', { deviceId: id, chatroomId, number });
  });
}

/**
 * Job that notifies one device of a message. Does nothing if the message is no longer unread for the owner of the
 * device. Removes the device if the provider no longer knows the device.
 */
export async function pushDevice(
  { database, push }: Pick<ServerNode, 'database' | 'push'>,
  job: Jobs['push_device'],
): Promise<void> {
  const found = await findNews(database, job);
  const send = found && push.senders[found.platform];
  if (!send) return;
  const [counted] = await countUnreadOfUsers({ database }, [found.userId]);
  const outcome = await send(found.token, {
    title: found.name ?? found.nickname ?? '',
    body: found.name === null ? found.body : `${found.nickname ?? ''}: ${found.body}`,
    data: {
      chatroomId: encodeId('Chatroom', job.chatroomId),
      messageId: encodeId('Message', messageKey(job.chatroomId, job.number)),
      number: String(job.number),
      unreadCount: String(counted?.unread ?? 0),
    },
  });
  if (outcome === 'GONE') await database.prisma.pushDevice.deleteMany({ where: { id: job.deviceId } });
}

async function findNews(database: Database, { deviceId, chatroomId, number }: Jobs['push_device']) {
  const [found] = await database.query<{
    userId: string;
    platform: PushPlatform;
    token: string;
    /** Name of the room; null for a room without a name, such as a DIRECT room. */
    name: string | null;
    nickname: string | null;
    body: string;
  }>(sql`
    SELECT d.user_id AS "userId", d.platform, d.token, c.name, s.nickname, left(m.body, ${MAX_BODY_CHARACTERS}::int) AS body
      FROM push_devices d JOIN sessions live ON live.id = d.session_id AND ${isActive(sql`live`)}
      JOIN members v ON v.user_id = d.user_id
      JOIN messages m ON m.chatroom_id = v.chatroom_id JOIN chatrooms c ON c.id = m.chatroom_id
      LEFT JOIN users s ON s.id = m.sender_id
      WHERE d.id = ${deviceId}::uuid AND m.chatroom_id = ${chatroomId}::uuid AND m.number = ${number} AND ${concerns}`);
  return found;
}
