import { setTimeout } from 'node:timers/promises';
import { lostMembershipOf } from '../chatroomEvents/allRoomsStream.ts';
import type { VisibleChatroom } from '../chatrooms/chatrooms.ts';
import type { Context } from '../../core/context.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    unreadMoments: UnreadMoments;
  }
}

/** Minimum time between two moments of a room, in milliseconds: each viewer receives at most ten events per second. */
const INTERVAL_MS = 100;
/**
 * Time before a moment for which its viewers are collected, in milliseconds. A message reaches the streams of all its
 * viewers within this time, unless the node is overloaded. The others wait for the next moment.
 */
const DELAY_MS = 10;

/** The event that the number of unread messages of a room may have changed. */
export interface UnreadChanged {
  kind: 'UnreadChanged';
  chatroomId: string;
  /** Null if all subscribers receive the same event. The execution then loads the room. */
  chatroom: VisibleChatroom | null;
  /** True if all subscribers share the execution of `sharedAs`. */
  isShared?: true;
  /** The event without the cursor of a stream. */
  sharedAs?: UnreadChanged;
  /** Returns whether the viewer has left the room since. If the execution then fails, the stream skips the event. */
  isNoLongerMember?: (context: Context) => Promise<boolean>;
}

/**
 * A time at which the unread counts of a room may have changed. All viewers who wait for the moment receive its event, so
 * that they share one execution.
 */
export class UnreadMoment {
  readonly event: UnreadChanged;
  readonly #at = performance.now();
  /** Moment that replaces this one for all viewers who read it late. */
  #later: UnreadMoment | undefined;

  constructor(chatroomId: string) {
    const isNoLongerMember = lostMembershipOf(chatroomId);
    this.event = { kind: 'UnreadChanged', chatroomId, chatroom: null, isShared: true, isNoLongerMember };
  }

  /** Returns this moment, or a later one if the viewer reads it so late that a shared result may be outdated. */
  current(): UnreadMoment {
    if (performance.now() - this.#at < INTERVAL_MS) return this;
    const later = this.#later?.current() ?? new UnreadMoment(this.event.chatroomId);
    this.#later = later;
    return later;
  }
}

/** Moments of one node. */
export interface UnreadMoments {
  /** Resolves at the next moment of a room. Data read after that includes all changes before this call. */
  next(chatroomId: string): Promise<UnreadMoment>;
}

/** Creates the moments of one node. A room has moments only while viewers wait for them. */
export function createUnreadMoments(): UnreadMoments {
  /** Next moment of each room for which viewers wait. */
  const awaited = new Map<string, Promise<UnreadMoment>>();
  /** Time of the last moment of each room, for {@link INTERVAL_MS}. */
  const lastAt = new Map<string, number>();

  async function arrive(chatroomId: string): Promise<UnreadMoment> {
    const now = performance.now();
    await setTimeout(Math.max(DELAY_MS, (lastAt.get(chatroomId) ?? 0) + INTERVAL_MS - now), undefined, { ref: false });
    awaited.delete(chatroomId);
    const at = performance.now();
    lastAt.set(chatroomId, at);
    void setTimeout(INTERVAL_MS, undefined, { ref: false }).then(
      () => lastAt.get(chatroomId) === at && lastAt.delete(chatroomId),
    );
    return new UnreadMoment(chatroomId);
  }

  return {
    next(chatroomId) {
      const next = awaited.get(chatroomId) ?? arrive(chatroomId);
      awaited.set(chatroomId, next);
      return next;
    },
  };
}
