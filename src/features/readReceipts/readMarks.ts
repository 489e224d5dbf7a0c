import type { Logger } from 'pino';
import { z } from 'zod';
import { memberColumns, requireMembership, type ShownMember } from '../chatrooms/chatrooms.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { watchMembership } from '../chatroomEvents/chatroomStream.ts';
import type { Bus } from '../../platform/redis/bus.ts';
import { createConflatedStream } from '../../delivery/conflatedStream.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    readMarks: ReadMarkFeed;
  }
}

/**
 * Maximum number of members of a room in which moved read marks are reported. Larger rooms report no marks, because
 * each moved mark would be sent to every member.
 */
const MAX_MEMBERS = 100;

/**
 * Moved read marks of a room. `members` contains the members whose marks have moved. Subscribers who may see all these
 * marks receive the same object.
 */
export interface ReadMarks {
  chatroomId: string;
  members: ShownMember[];
  /** Subscribers who receive the same `ReadMarks` share one execution. */
  isShared: true;
}

interface Follower {
  viewerId: string;
  onMoved: (marks: ReadMarks) => void;
}

/** Reports moved read marks to the subscribers on this node. */
export interface ReadMarkFeed {
  /**
   * Subscribes a follower to a room. Calls `onMoved` whenever read marks of the room have moved. The follower is
   * subscribed when the promise resolves.
   *
   * @returns a function that unsubscribes the follower
   */
  follow(chatroomId: string, follower: Follower): Promise<() => void>;
}

/**
 * A member whose mark has moved. `hiddenFrom` contains the subscribers who have blocked the member, or whom the member
 * has blocked.
 */
type MovedMark = ShownMember & { hiddenFrom: string[] };

/**
 * Notifies all nodes that the read marks of some members have moved. Call after the commit. A node loads the marks only
 * if it has subscribers of the room. Does nothing for more than {@link MAX_MEMBERS} users, because a room with so many
 * members reports no marks.
 */
export function publishReadMarks(bus: Bus, chatroomId: string, userIds: readonly string[]): void {
  if (userIds.length <= MAX_MEMBERS) bus.publish(topic(chatroomId), { userIds });
}

const movedSchema = z.object({ userIds: z.array(z.uuid()).max(MAX_MEMBERS) });

/** Creates the feed of one node. One statement loads all moved marks of a room for all its subscribers. */
export function createReadMarkFeed({
  database,
  bus,
  log,
}: {
  database: Database;
  bus: Bus;
  log: Logger;
}): ReadMarkFeed {
  const rooms = new Map<string, RoomMarks>();
  return {
    async follow(chatroomId, follower) {
      const room = rooms.get(chatroomId) ?? new RoomMarks(chatroomId, database, log);
      rooms.set(chatroomId, room);
      room.followers.add(follower);
      room.stop ??= bus.listen(topic(chatroomId), (payload) => {
        // Another program may share this Redis, so the payload is not trusted.
        const { data } = movedSchema.safeParse(payload);
        if (data) void room.report(data.userIds);
      });
      const { stop } = room;
      const leave = () => {
        if (room.followers.delete(follower) && room.followers.size === 0) rooms.delete(chatroomId);
        return room.followers.size;
      };
      try {
        const end = await stop;
        return () => {
          if (leave() === 0) end();
        };
      } catch (error) {
        leave();
        throw error;
      }
    },
  };
}

/**
 * Subscribers of one room on this node. Loads one batch of marks at a time, so that marks are reported in the order in
 * which they moved.
 */
class RoomMarks {
  readonly followers = new Set<Follower>();
  stop: Promise<() => void> | undefined;
  readonly #chatroomId: string;
  readonly #database: Database;
  readonly #log: Logger;
  readonly #waiting = new Set<string>();
  #isLoading = false;

  constructor(chatroomId: string, database: Database, log: Logger) {
    this.#chatroomId = chatroomId;
    this.#database = database;
    this.#log = log;
  }

  async report(userIds: readonly string[]): Promise<void> {
    for (const userId of userIds) this.#waiting.add(userId);
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      while (this.#waiting.size > 0 && this.followers.size > 0) {
        const moved = [...this.#waiting];
        this.#waiting.clear();
        // Copies the followers before the load. A follower that subscribes during the load must not receive the result,
        // because the query did not check the blocks of that follower.
        const followers = [...this.followers];
        this.#distribute(await this.#load(moved, followers), followers);
      }
    } catch (error) {
      this.#log.debug({ error, chatroomId: this.#chatroomId }, 'Read marks were not reported.');
    } finally {
      this.#isLoading = false;
    }
  }

  #load(userIds: readonly string[], followers: readonly Follower[]): Promise<MovedMark[]> {
    const viewers = sql`${[...new Set(followers.map(({ viewerId }) => viewerId))]}::uuid[]`;
    const room = sql`${this.#chatroomId}::uuid`;
    return this.#database.prepared<MovedMark>(sql`
      SELECT ${memberColumns}, true AS "isReadMarkPublic", ARRAY(
          SELECT b.blocked_id FROM blocks b WHERE b.blocker_id = m.user_id AND b.blocked_id = ANY (${viewers})
          UNION SELECT b.blocker_id FROM blocks b WHERE b.blocked_id = m.user_id AND b.blocker_id = ANY (${viewers})
        ) AS "hiddenFrom"
        FROM members m
        WHERE m.chatroom_id = ${room} AND m.user_id = ANY (${userIds}::uuid[])
          AND (SELECT count(*) FROM (SELECT FROM members WHERE chatroom_id = ${room} LIMIT ${MAX_MEMBERS + 1}::int) n)
            <= ${MAX_MEMBERS}::int`);
  }

  #distribute(moved: readonly MovedMark[], followers: readonly Follower[]): void {
    if (moved.length === 0) return;
    const chatroomId = this.#chatroomId;
    const all: ReadMarks = { chatroomId, members: [...moved], isShared: true };
    for (const follower of followers) {
      if (!this.followers.has(follower)) continue;
      const { viewerId, onMoved } = follower;
      const members = moved.filter(({ hiddenFrom }) => !hiddenFrom.includes(viewerId));
      if (members.length === moved.length) onMoved(all);
      else if (members.length > 0) onMoved({ chatroomId, members, isShared: true });
    }
  }
}

/**
 * Streams the read marks of a room's members as they move, including the viewer's own. Leaves out members whom the
 * viewer has blocked, and members who have blocked the viewer. Events can be lost; `ChatroomMember.lastReadNumber`
 * returns the current state.
 *
 * For a slow subscriber, only the latest mark of each member is buffered. Ends with `NOT_FOUND` when the viewer's
 * membership ends.
 *
 * @throws ChatError `NOT_FOUND` if the viewer is not a member
 */
export async function followReadMarks(
  context: Context,
  chatroomId: string | null,
): Promise<AsyncIterableIterator<ReadMarks>> {
  const room = await requireMembership(context, chatroomId);
  const { userId: viewerId } = requireViewer(context);
  let waiting: ReadMarks | null = null;

  const stream = createConflatedStream(context.gauges, () => {
    const marks = waiting;
    waiting = null;
    return Promise.resolve(marks);
  });
  return stream.connect(async () => {
    const follower: Follower = {
      viewerId,
      onMoved(marks) {
        waiting = waiting ? merge(waiting, marks) : marks;
        stream.set('marks', null);
      },
    };
    stream.onClose(await context.readMarks.follow(room.id, follower));
    stream.onClose(watchMembership(context, room, stream.error));
  });
}

function merge({ chatroomId, members }: ReadMarks, later: ReadMarks): ReadMarks {
  const latest = new Map([...members, ...later.members].map((member) => [member.userId, member]));
  return { chatroomId, members: [...latest.values()], isShared: true };
}

function topic(chatroomId: string): string {
  return `readMarks:${chatroomId}`;
}
