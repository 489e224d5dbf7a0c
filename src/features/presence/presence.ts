import type { Logger } from 'pino';
import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { User } from '../../platform/database/generated/client.ts';
import { friendIdsOf, isFriend } from '../relationships/friends.ts';
import { subscribeHints, publishHint } from '../../delivery/userHints.ts';
import { createUuid } from '../../core/globalIds.ts';
import { createLoader } from '../../platform/database/loader.ts';
import type { Bus } from '../../platform/redis/bus.ts';
import { createMemoryLeases, type LeaseListener, type Leases, type LeaseTimes } from '../../platform/redis/leases.ts';
import { createConflatedStream } from '../../delivery/conflatedStream.ts';
import type { FailFastRedis } from '../../platform/redis/clients.ts';
import { createRedisLeases } from '../../platform/redis/redisLeases.ts';
import { userById } from '../users/users.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    presence: PresenceTracker;
  }
}

/**
 * A node counts as dead 30 s after it last renewed its leases. A user who returns within 10 s is not reported as
 * offline.
 */
const TIMES: LeaseTimes = { leaseMs: 30_000, graceMs: 10_000 };

/** Maximum number of online friends in the `connection_ack` of a socket. */
const MAX_ONLINE_FRIENDS = 100;

/** Whether a user is online, and when the user was last online. */
export interface Presence {
  status: 'ONLINE' | 'OFFLINE';
  /** Null while the user is online, and for a user who has never been online. */
  lastSeenAt: Date | null;
}

/** Tracks which users are online, across all nodes. */
export interface PresenceTracker {
  /**
   * Registers a live socket of a user.
   *
   * @param max maximum number of live sockets of one user, on all nodes
   * @returns a function to call when the socket has closed; null if the user already has `max` sockets
   */
  register(userId: string, max: number): Promise<(() => void) | null>;
  /** Returns the given users who have a live socket. While Redis is failing, returns the last known state. */
  online(userIds: readonly string[]): Promise<Set<string>>;
  /** Number of live sockets registered by this node. */
  leases(): number;
  close(): Promise<void>;
}

/** Creates the presence tracker of one node. The tracker notifies friends when a user goes online or offline. */
export function createPresenceTracker(options: {
  database: Database;
  bus: Bus;
  redis: FailFastRedis | null;
  times?: LeaseTimes | undefined;
  log: Logger;
}): PresenceTracker {
  const { database, bus, redis, log } = options;
  const times = options.times ?? TIMES;

  async function notifyFriends(userId: string): Promise<void> {
    for (const friendId of await friendIdsOf(database, userId))
      publishHint(bus, friendId, { kind: 'PRESENCE', userId });
  }
  async function storeLastSeen(userId: string, at: Date): Promise<void> {
    await database.query(sql`
      UPDATE users SET last_seen_at = ${at} WHERE id = ${userId}::uuid AND (last_seen_at < ${at} OR last_seen_at IS NULL)`);
  }
  const attempt = (work: Promise<void>) => {
    work.catch((error: unknown) => {
      log.warn({ error }, 'A presence change was not stored or not reported.');
    });
  };
  const listener: LeaseListener = {
    onArrived: (userId) => {
      attempt(notifyFriends(userId));
    },
    onLeft: (userId, at) => {
      attempt(storeLastSeen(userId, at));
    },
    onGone: (userId) => {
      attempt(notifyFriends(userId));
    },
  };
  const leases: Leases =
    redis === null ? createMemoryLeases(listener, times) : createRedisLeases(redis, listener, times, log);

  return {
    async register(userId, max) {
      const connectionId = createUuid();
      const acquired = await leases.acquire(userId, connectionId, max);
      return acquired
        ? () => {
            leases.release(userId, connectionId);
          }
        : null;
    },
    online: (userIds) => leases.holders(userIds),
    leases: () => leases.size(),
    close: () => leases.close(),
  };
}

const presenceById = createLoader<Presence & { userId: string }>(
  async ({ database, presence }, userIds) => {
    const online = await presence.online(userIds);
    const users = await database.prepared<{ userId: string; lastSeenAt: Date | null }>(sql`
      SELECT id AS "userId", last_seen_at AS "lastSeenAt" FROM users WHERE id = ANY (${userIds}::uuid[])`);
    return users.map(({ userId, lastSeenAt }) =>
      online.has(userId) ? { userId, status: 'ONLINE', lastSeenAt: null } : { userId, status: 'OFFLINE', lastSeenAt },
    );
  },
  ({ userId }) => userId,
);

/**
 * Returns the presence of a user; null unless the user is the viewer or a friend. A block also hides the presence,
 * because a block ends the friendship.
 */
export async function presenceOf(context: Context, userId: string): Promise<Presence | null> {
  const mayKnow = userId === requireViewer(context).userId || (await isFriend(context, userId));
  return mayKnow ? presenceById(context, userId) : null;
}

/**
 * Returns the online friends of a user, at most 100, sorted by username. The list is sent when a socket opens.
 */
export async function listOnlineFriends(
  node: Pick<Context, 'database' | 'presence'>,
  userId: string,
): Promise<Pick<User, 'id' | 'username' | 'nickname'>[]> {
  const online = await node.presence.online(await friendIdsOf(node.database, userId));
  if (online.size === 0) return [];
  return node.database.query(sql`
    SELECT u.id, u.username, u.nickname FROM users u WHERE u.id = ANY(${[...online]}::uuid[]) ORDER BY u.username_key LIMIT ${MAX_ONLINE_FRIENDS}`);
}

/** A friend has gone online or offline. */
export interface PresenceChange {
  user: User;
  presence: Presence;
}

/**
 * Sends an event when a friend of the viewer goes online or offline. Events can be lost; `User.presence` returns the
 * current state.
 *
 * @param userIds limits the stream to these friends; all friends if left out. An entry is null if its id names no user.
 */
export async function followPresence(
  context: Context,
  userIds: readonly (string | null)[] | null | undefined,
): Promise<AsyncIterableIterator<PresenceChange>> {
  const { userId: viewerId } = requireViewer(context);
  const named = userIds && new Set(userIds);
  /** Last status sent to the subscriber, by user. */
  const sent = new Map<string, Presence['status']>();

  async function read(userId: string): Promise<PresenceChange | null> {
    const now = eventContext(context);
    const [user, presence] = await Promise.all([userById(now, userId), presenceOf(now, userId)]);
    // Skips the event if the friendship has ended, or if the status is unchanged. The status can be unchanged after
    // Redis has lost its data, because every online user is then reported again.
    if (!user || !presence || sent.get(userId) === presence.status) return null;
    sent.set(userId, presence.status);
    return { user, presence };
  }

  const stream = createConflatedStream(context.gauges, read);
  return stream.connect(async () => {
    stream.onClose(
      await subscribeHints(context.bus, viewerId, (hint) => {
        if (hint.kind === 'PRESENCE' && (!named || named.has(hint.userId))) stream.set(hint.userId, hint.userId);
      }),
    );
  });
}
