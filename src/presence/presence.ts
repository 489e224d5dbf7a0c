import type { Logger } from 'pino';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import type { User } from '../database/generated/client.ts';
import { friendIdsOf, isFriend } from '../friends/friends.ts';
import { hear, hint } from '../hints.ts';
import { createUuid } from '../ids.ts';
import { createLoader } from '../loader.ts';
import type { Bus } from '../realtime/bus.ts';
import { createMemoryLeases, type LeaseListener, type Leases, type LeaseTimes } from '../realtime/leases.ts';
import { createMailbox } from '../realtime/mailbox.ts';
import type { HastyRedis } from '../realtime/redis.ts';
import { createRedisLeases } from '../realtime/redisLeases.ts';
import { userById } from '../users/users.ts';

/** A node is taken for dead after 30 s without a word; who comes back within 10 s was never away. */
const TIMES: LeaseTimes = { leaseMs: 30_000, graceMs: 10_000 };

/** How many friends a socket is told of when it opens. */
const MOST_TOLD = 100;

/** Whether a user is there, and since when not. */
export interface Presence {
  status: 'ONLINE' | 'OFFLINE';
  /** Null while online, and for who has never been. */
  lastSeenAt: Date | null;
}

/** Who is there, over all nodes. */
export interface PresenceBook {
  /**
   * Notes that a device of a user has a live socket.
   *
   * @param most how many the user may have
   * @returns a function to call when the socket has closed; null where the user has `most` already
   */
  enter(userId: string, most: number): Promise<(() => void) | null>;
  /** Which of these users have a live socket now. */
  online(userIds: readonly string[]): Promise<Set<string>>;
  /** How many live sockets of users this node has noted. */
  leases(): number;
  close(): Promise<void>;
}

/** Opens the book of one node, which tells friends who comes and goes. */
export function openPresenceBook(options: {
  database: Database;
  bus: Bus;
  redis: HastyRedis | null;
  times?: LeaseTimes | undefined;
  log: Logger;
}): PresenceBook {
  const { database, bus, redis, log } = options;
  const times = options.times ?? TIMES;

  async function tellFriends(userId: string): Promise<void> {
    for (const friendId of await friendIdsOf(database, userId)) hint(bus, friendId, { kind: 'PRESENCE', userId });
  }
  async function noteLeaving(userId: string, at: Date): Promise<void> {
    await database.query(sql`
      UPDATE users SET last_seen_at = ${at} WHERE id = ${userId}::uuid AND (last_seen_at < ${at} OR last_seen_at IS NULL)`);
  }
  const attempt = (work: Promise<void>) => {
    work.catch((error: unknown) => {
      log.warn({ error }, 'A change of presence was lost.');
    });
  };
  const listener: LeaseListener = {
    onArrived: (userId) => {
      attempt(tellFriends(userId));
    },
    onLeft: (userId, at) => {
      attempt(noteLeaving(userId, at));
    },
    onGone: (userId) => {
      attempt(tellFriends(userId));
    },
  };
  const leases: Leases =
    redis === null ? createMemoryLeases(listener, times) : createRedisLeases(redis, listener, times, log);

  return {
    async enter(userId, most) {
      const connectionId = createUuid();
      const taken = await leases.take(userId, connectionId, most);
      return taken
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
  async (context, userIds) => {
    const online = await context.presence.online(userIds);
    const users = await Promise.all(userIds.map((userId) => userById(context, userId)));
    return users
      .filter((user) => user !== null)
      .map(({ id, lastSeenAt }) =>
        online.has(id)
          ? { userId: id, status: 'ONLINE', lastSeenAt: null }
          : { userId: id, status: 'OFFLINE', lastSeenAt },
      );
  },
  ({ userId }) => userId,
);

/** Whether a user is there; null unless it is the viewer or a friend of theirs, and so across a block. */
export async function presenceOf(context: Context, userId: string): Promise<Presence | null> {
  const mayKnow = userId === requireViewer(context).userId || (await isFriend(context, userId));
  return mayKnow ? presenceById(context, userId) : null;
}

/** The friends of a user who are online now, at most 100, for the opening of a socket. */
export async function listOnlineFriends(
  node: Pick<Context, 'database' | 'presence'>,
  userId: string,
): Promise<Pick<User, 'id' | 'username' | 'nickname'>[]> {
  const online = await node.presence.online(await friendIdsOf(node.database, userId));
  if (online.size === 0) return [];
  return node.database.query(sql`
    SELECT u.id, u.username, u.nickname FROM users u WHERE u.id = ANY(${[...online]}::uuid[]) ORDER BY u.username_key LIMIT ${MOST_TOLD}`);
}

/** A friend has come or gone. */
export interface PresenceChange {
  user: User;
  presence: Presence;
}

/**
 * The comings and goings of the viewer's friends, or of those of them that are named. A hint: `User.presence` is the
 * truth.
 *
 * @param userIds null for an id that names nobody
 */
export async function followPresence(
  context: Context,
  userIds: readonly (string | null)[] | null | undefined,
): Promise<AsyncIterableIterator<PresenceChange>> {
  const { userId: viewerId } = requireViewer(context);
  const named = userIds && new Set(userIds);
  const said = new Map<string, Presence['status']>();

  async function read(userId: string): Promise<PresenceChange | null> {
    const now = freshContext(context);
    const [user, presence] = await Promise.all([userById(now, userId), presenceOf(now, userId)]);
    // They may be no friends any more; and a Redis that was emptied makes everyone arrive anew.
    if (!user || !presence || said.get(userId) === presence.status) return null;
    said.set(userId, presence.status);
    return { user, presence };
  }

  const mailbox = createMailbox(context.open, read);
  return mailbox.connect(async () => {
    mailbox.onReturn(
      await hear(context.bus, viewerId, (what) => {
        if (what.kind === 'PRESENCE' && (!named || named.has(what.userId))) mailbox.put(what.userId, what.userId);
      }),
    );
  });
}
