import type { Bus } from '../platform/redis/bus.ts';
import type { ChangePoller, ChangeSet } from './changePoller.ts';
import type { EventSeal } from './eventSeal.ts';
import type { RoomEvent } from './roomLog.ts';
import { RoomTail, type TailFollower, type TailOptions } from './roomTail.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    roomTails: RoomTails;
  }
}

interface RoomTailsOptions extends TailOptions {
  bus: Bus;
  changePoller: ChangePoller;
  counters: { recoveredByPoll: number };
  /** Encrypts the events that notifications carry to other nodes. Null if there are none. */
  seal: EventSeal | null;
  /** Called when this node has made the log of a room grow. May be called for several rooms at once. */
  onGrowth?: (chatroomIds: string[]) => void;
  /** Called with the time that a notification took to arrive. */
  onNotificationLag: (seconds: number) => void;
  /** Connects the trace of a change with the traces of its deliveries. */
  tracing?: {
    traceparent(): string | undefined;
    recordCause(event: { chatroomId: string; seq: number }, traceparent: unknown): void;
  } | null;
}

/** A notification that a room's log has grown. */
interface Notification {
  seq: number;
  /** Time of sending, for the metric of the notification delay. */
  at: number;
  trace: unknown;
  /** New events, encrypted. A node that cannot open them reads the log. */
  events?: string | undefined;
}

/** A notification to publish, with the events that its sender has. */
interface PendingNotification {
  notification: Notification;
  events: RoomEvent[];
}

/**
 * The tails of the rooms that are followed on one node. Also sends and receives the notifications that a room's log has
 * grown.
 */
export class RoomTails {
  readonly #options: RoomTailsOptions;
  readonly #tails = new Map<string, { tail: RoomTail; unsubscribe: () => void }>();
  /** Notifications to publish at the end of this turn of the event loop, by room. */
  readonly #notifications = new Map<string, PendingNotification>();
  readonly #stopListening: () => void;

  constructor(options: RoomTailsOptions) {
    this.#options = options;
    this.#stopListening = options.changePoller.listen((changes) => {
      this.#apply(changes);
    });
  }

  /** Returns the number of rooms that are followed on this node. */
  size(): number {
    return this.#tails.size;
  }

  /** Returns the number of followers of all rooms on this node. */
  followers(): number {
    return [...this.#tails.values()].reduce((sum, { tail }) => sum + tail.size, 0);
  }

  /** Returns the latest event about a message of a room, if the event is in memory. */
  latestEventOf(chatroomId: string, number: number): RoomEvent | undefined {
    return this.#tails.get(chatroomId)?.tail.latestEventOf(number);
  }

  /** Returns whether an event is certainly the latest about its message. */
  isLatest(event: RoomEvent): boolean {
    return this.#tails.get(event.chatroomId)?.tail.isLatest(event) === true;
  }

  /**
   * Adds a follower to the tail of a room.
   *
   * @param seq number of an event that is in the log, or 0. The follower has all events up to it.
   */
  open(chatroomId: string, seq: number, follower: TailFollower): RoomTail {
    const { tail } = this.#tails.get(chatroomId) ?? this.#subscribe(chatroomId, seq);
    tail.add(follower);
    // The follower may have read a later `seq` from the database than the tail has.
    tail.advance(seq);
    return tail;
  }

  /** Removes a follower. If the room has no other follower, the node unsubscribes from the room. */
  close(tail: RoomTail, follower: TailFollower): void {
    if (!tail.remove(follower)) return;
    const { chatroomId } = tail;
    if (this.#tails.get(chatroomId)?.tail !== tail) return;
    this.#tails.get(chatroomId)?.unsubscribe();
    this.#tails.delete(chatroomId);
  }

  /**
   * Notifies all nodes that a room's log has grown to `seq`. Call it after the commit. Notifications about one room
   * within a turn of the event loop are merged into one, so that many concurrent sends cause a single notification.
   *
   * @param event the event `seq`, if the caller has it. The nodes then need not read it.
   */
  notify(chatroomId: string, seq: number, event?: RoomEvent | null): void {
    if (this.#notifications.size === 0)
      setImmediate(() => {
        this.#publish();
      });
    const before = this.#notifications.get(chatroomId);
    const events = before?.events ?? [];
    if (event) events.push(event);
    if (before && before.notification.seq >= seq) return;
    const trace = this.#options.tracing?.traceparent();
    this.#notifications.set(chatroomId, { notification: { seq, at: Date.now(), trace }, events });
  }

  /** Closes all tails, when the node stops. */
  stop(): void {
    this.#stopListening();
    for (const { unsubscribe } of this.#tails.values()) unsubscribe();
    this.#tails.clear();
  }

  #publish(): void {
    const notifications = [...this.#notifications];
    this.#notifications.clear();
    const { bus, seal } = this.#options;
    for (const [chatroomId, { notification, events }] of notifications) {
      this.#tails.get(chatroomId)?.tail.offer(events);
      const sealed = events.length > 0 ? seal?.seal(events) : undefined;
      bus.publish(topic(chatroomId), { ...notification, events: sealed });
    }
    this.#options.onGrowth?.(notifications.map(([chatroomId]) => chatroomId));
  }

  #subscribe(chatroomId: string, seq: number) {
    const tail = new RoomTail(chatroomId, seq, this.#options);
    const unsubscribe = this.#options.bus.subscribe(
      topic(chatroomId),
      (received) => {
        this.#onNotification(tail, received);
      },
      () => {
        tail.poll();
      },
    );
    const opened = { tail, unsubscribe };
    this.#tails.set(chatroomId, opened);
    tail.poll();
    return opened;
  }

  #onNotification(tail: RoomTail, received: unknown): void {
    const { tracing, onNotificationLag, seal } = this.#options;
    const { seq = NaN, at = NaN, trace, events } = (received ?? {}) as Partial<Notification>;
    // Recorded before the event is read, so that the trace is known when the event is delivered.
    tracing?.recordCause({ chatroomId: tail.chatroomId, seq }, trace);
    // The events of this node have been offered before.
    if (events !== undefined && !tail.has(seq))
      tail.offer((seal?.open(events) ?? []).filter(({ chatroomId }) => chatroomId === tail.chatroomId));
    tail.advance(seq);
    if (Number.isFinite(at)) onNotificationLag((Date.now() - at) / 1_000);
  }

  #apply({ rooms, ended }: ChangeSet): void {
    for (const [chatroomId, seq] of rooms) {
      const tail = this.#tails.get(chatroomId)?.tail;
      if (!tail) continue;
      this.#options.counters.recoveredByPoll += Math.max(seq - tail.targetSeq, 0);
      tail.advance(seq);
    }
    for (const chatroomId of ended) this.#tails.get(chatroomId)?.tail.delete();
    for (const { tail } of this.#tails.values()) tail.retry();
  }
}

function topic(chatroomId: string): string {
  return `room:${chatroomId}`;
}
