import { type FollowedEvent, RoomFollower } from './roomFollower.ts';
import type { RoomEvent } from './roomLog.ts';
import type { RoomTails } from './roomTails.ts';
import { done, type MaybePromise, type Next, type Source, type SubscriberGroup } from './source.ts';

/** Follows several rooms. Delivers each event once, and the events of each room in order. */
export class RoomsFollower implements Source<FollowedEvent> {
  readonly #tails: RoomTails;
  readonly #rooms = new Map<string, RoomFollower>();
  /** Rooms that may have events to read. The room that has waited longest comes first. */
  readonly #ready = new Set<string>();
  #state: 'following' | 'ended' = 'following';
  #listener = () => {};
  #group: SubscriberGroup | null = null;

  constructor(tails: RoomTails) {
    this.#tails = tails;
  }

  /** Ids of the followed rooms. */
  get rooms(): Pick<ReadonlySet<string>, 'size' | 'has' | 'keys'> {
    return this.#rooms;
  }

  /** Returns the `seq` of the last delivered event of a room. Undefined for a room that is not followed. */
  position(chatroomId: string): number | undefined {
    return this.#rooms.get(chatroomId)?.position;
  }

  /**
   * Returns the `seq` of the event with which a user left a room. Undefined if the user has not left. The event may not
   * be delivered yet.
   */
  leftAt(chatroomId: string, userId: string): number | undefined {
    return this.#rooms.get(chatroomId)?.leftAt(userId);
  }

  /** Adds a room and follows it after `seq`. No effect on a room that is already followed. */
  add(chatroomId: string, seq: number): void {
    if (this.#state === 'ended' || this.#rooms.has(chatroomId)) return;
    const room = new RoomFollower(this.#tails, chatroomId, seq);
    this.#rooms.set(chatroomId, room);
    this.#listenTo(chatroomId, room);
    this.#markReady(chatroomId);
  }

  /** Stops following a room. */
  drop(chatroomId: string): void {
    const room = this.#rooms.get(chatroomId);
    this.#rooms.delete(chatroomId);
    this.#ready.delete(chatroomId);
    room?.onReady(() => {});
    room?.end();
  }

  onReady(listener: () => void, group: SubscriberGroup | null = null): void {
    [this.#listener, this.#group] = [listener, group];
    for (const [chatroomId, room] of this.#rooms) this.#listenTo(chatroomId, room);
  }

  #listenTo(chatroomId: string, room: RoomFollower): void {
    room.onReady(() => {
      this.#markReady(chatroomId);
    }, this.#group);
  }

  #markReady(chatroomId: string): void {
    this.#ready.add(chatroomId);
    this.#listener();
  }

  pull(): MaybePromise<Next<FollowedEvent>> {
    for (const chatroomId of this.#ready) {
      // Removed before reading, so that an event that arrives during the read adds the room again.
      this.#ready.delete(chatroomId);
      const room = this.#rooms.get(chatroomId);
      const pulled = room?.pull();
      // Discards the event if the room was dropped, or dropped and added again, during the read.
      if (pulled instanceof Promise)
        return pulled.then((later) =>
          this.#rooms.get(chatroomId) === room && later ? this.#deliver(later) : this.pull(),
        );
      if (pulled) return this.#deliver(pulled);
    }
    return this.#state === 'ended' ? done : null;
  }

  #deliver(pulled: IteratorResult<FollowedEvent, undefined>): Next<FollowedEvent> {
    if (pulled.done) return pulled;
    const { kind, chatroomId } = pulled.value;
    if (kind === 'CHATROOM_DELETED') this.drop(chatroomId);
    else this.#ready.add(chatroomId);
    return pulled;
  }

  /** Returns the next events of the ready rooms that are already in memory, see {@link RoomFollower.lookahead}. */
  lookahead(): readonly RoomEvent[] {
    return [...this.#ready].flatMap((chatroomId) => this.#rooms.get(chatroomId)?.lookahead() ?? []);
  }

  end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    for (const chatroomId of [...this.#rooms.keys()]) this.drop(chatroomId);
    this.#listener();
  }
}
