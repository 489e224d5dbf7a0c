import { type Context, requireViewer, snapshotOf } from '../../core/context.ts';
import type { SnapshotEvent } from '../../platform/database/consistentReads.ts';
import { type ChangeSet, isVisibleIn, type UnloggedChange } from '../../delivery/changePoller.ts';
import { encodeAllRoomsCursor, isResyncRequired } from '../../delivery/cursor.ts';
import { findPositions, type RoomPositions } from '../../delivery/resumePositions.ts';
import {
  andThen,
  done,
  type MaybePromise,
  type Next,
  pullPast,
  type Source,
  type Stream,
  type SubscriberGroup,
  toAsyncIterator,
} from '../../delivery/source.ts';
import {
  type AllRoomsEvent,
  type AllRoomsStream,
  followAllRooms,
  openAllRooms,
  type OpenedRooms,
  placeAt,
} from '../chatroomEvents/allRoomsStream.ts';
import { endsMembership, isVisible } from '../chatroomEvents/chatroomStream.ts';
import type { ChatroomEvent, SnapshotReason } from '../chatroomEvents/eventPage.ts';
import { findChangesSince } from '../viewerEvents/missedChanges.ts';
import { createViewerChanges, type ViewerChanges, type ViewerEvent } from '../viewerEvents/viewerChanges.ts';
import { currentCursor } from '../viewerEvents/viewerEvents.ts';

/** An event of one of the viewer's rooms, or one that concerns the viewer. */
export type AppEvent = ChatroomEvent | ViewerEvent | AppSnapshot;

/** The viewer's data in one state of the database. */
export interface AppSnapshot {
  kind: 'AppSnapshot';
  cursor: string;
  reason: SnapshotReason;
}

/** A snapshot is read when the subscription executes it. */
type Delivered = AppEvent | SnapshotEvent<AppEvent>;

/**
 * Streams the events of all the viewer's rooms, and the events that concern the viewer, with one cursor. Leaves out
 * events that a block hides.
 *
 * With `snapshot`, sends a snapshot of the viewer's data where events do not lead to the current state: first if there is
 * no `after`, if the stream cannot continue from its cursor, and after changes that no event carries: if the viewer has
 * blocked or unblocked a user or changed their profile, or if a relationship ended with the account of the other user.
 *
 * @param after an all-rooms cursor
 * @throws ChatError as `followAllRooms` and `findChangesSince`; with `snapshot`, not `RESYNC_REQUIRED`
 */
export async function followApp(
  context: Context,
  after: string | null | undefined,
  snapshot: boolean,
): Promise<Stream<Delivered>> {
  const changes = createViewerChanges(context, after ?? currentCursor(context));
  const stream = new AppStream(context, changes, snapshot);
  await changes.stream.connect(async () => {
    // Listens before anything is read, so that no change is lost between the read and the live events.
    await changes.listen();
    if (after == null && snapshot) stream.resync('REQUESTED');
    else
      await resume(context, after, changes, stream).catch((error: unknown) => {
        if (!snapshot || !isResyncRequired(error)) throw error;
        stream.resync('RESYNC');
      });
  });
  return toAsyncIterator(stream);
}

/** Continues a stream after a cursor, or begins one without a cursor. */
async function resume(
  context: Context,
  after: string | null | undefined,
  changes: ViewerChanges,
  stream: AppStream,
): Promise<void> {
  const rooms = await followAllRooms(context, after);
  stream.follow(rooms);
  if (after == null) return;
  const missed = await findChangesSince(context, after);
  if (missed.blocks.length > 0 || missed.viewerChanged) stream.onUnsentChange();
  changes.addMissed(missed);
}

/** A class, because its functions are on the path of each event to each subscriber. */
class AppStream implements Source<Delivered> {
  readonly #context: Context;
  readonly #changes: ViewerChanges;
  readonly #sendsSnapshots: boolean;
  #state: 'following' | 'ended' = 'following';
  #rooms: AllRoomsStream | null = null;
  /** The next event of a room. The changes that it causes are sent first. */
  #held: AllRoomsEvent | null = null;
  /** Reason of the snapshot that is sent next. Null if an event comes next. */
  #owed: SnapshotReason | null = null;
  /** Rooms of a snapshot that has been sent or is being sent. They are followed after it. */
  #opened: OpenedRooms | null = null;
  /** The positions and cursor of that snapshot. Null until it has been read. */
  #position: { rooms: RoomPositions; cursor: string } | null = null;
  #listener = () => {};
  #group: SubscriberGroup | null = null;

  constructor(context: Context, changes: ViewerChanges, sendsSnapshots: boolean) {
    [this.#context, this.#changes, this.#sendsSnapshots] = [context, changes, sendsSnapshots];
    const { userId } = requireViewer(context);
    // The block cache has been updated before this call, because it listens since the start of the node. After the
    // snapshot, no event is therefore filtered by an older block.
    const stopListening = context.changePoller.listen(({ unlogged }: ChangeSet) => {
      if (unlogged.get(userId)?.some((change) => this.#isUnsent(change))) this.onUnsentChange();
    });
    changes.stream.onClose(() => {
      this.#state = 'ended';
      stopListening();
      this.#opened?.end();
      this.#rooms?.end();
    });
  }

  /** Continues with the events of the viewer's rooms after a position. */
  follow(rooms: AllRoomsStream): void {
    this.#rooms?.end();
    this.#rooms = rooms;
    this.#changes.setRooms(rooms);
    rooms.onReady(this.#listener, this.#group);
    if (this.#state === 'ended') rooms.end();
  }

  /** Sends a snapshot next. */
  resync(reason: SnapshotReason): void {
    this.#owed ??= reason;
    this.#listener();
  }

  /** Call this after a change that no event carries. */
  onUnsentChange(): void {
    if (this.#sendsSnapshots) this.resync('RESYNC');
  }

  /**
   * Returns whether no event carries a change. A block changes messages that were sent before, and the logs have no event
   * for it. It counts even if the stream began later, because the stream has used the outdated block cache until this poll.
   */
  #isUnsent({ kind, xid }: UnloggedChange): boolean {
    if (kind !== 'VIEWER_CHANGED') return kind === 'BLOCK_CHANGED';
    return this.#rooms === null || !isVisibleIn(this.#rooms.snapshot, xid);
  }

  get startsAtOnce(): boolean {
    return this.#owed !== null;
  }

  pull(): MaybePromise<Next<Delivered>> {
    return pullPast(() => this.#pull());
  }

  #pull(): MaybePromise<Next<Delivered> | undefined> {
    if (this.#state === 'ended') return done;
    if (this.#position) this.#followSnapshot(this.#position);
    if (this.#owed) return { value: this.#snapshot(this.#owed), done: false };
    return andThen(this.#changes.stream.pull(), (change) => change ?? this.#pullRooms());
  }

  #pullRooms(): MaybePromise<Next<Delivered> | undefined> {
    const held = this.#held;
    this.#held = null;
    if (held) return this.#place(held);
    try {
      const pulled = this.#rooms?.pull() ?? null;
      const taken = andThen(pulled, (next) => this.#take(next));
      return taken instanceof Promise
        ? taken.catch((error: unknown) => {
            this.#recover(error);
            return undefined;
          })
        : taken;
    } catch (error) {
      this.#recover(error);
      return undefined;
    }
  }

  #take(pulled: Next<AllRoomsEvent>): MaybePromise<Next<Delivered> | undefined> {
    if (!pulled || pulled.done) return pulled;
    return andThen(this.#changes.apply(pulled.value), () => {
      this.#held = pulled.value;
      return undefined;
    });
  }

  /** Returns the event of a room to send. Undefined if the viewer may not see it. */
  #place({ event, cursor, isLost }: AllRoomsEvent): MaybePromise<Next<Delivered> | undefined> {
    const { userId } = requireViewer(this.#context);
    // ChatroomVanished reports the end of a membership.
    if (event.kind === 'CHATROOM_DELETED' || endsMembership(event, userId)) return undefined;
    return andThen(isVisible(this.#context, event), (visible) =>
      visible && !isLost() ? { value: placeAt(event, this.#changes.beforeUnread(cursor)), done: false } : undefined,
    );
  }

  #snapshot(reason: SnapshotReason): SnapshotEvent<AppEvent> {
    // Cleared before the read, so that a block during the read causes another snapshot.
    this.#owed = this.#held = null;
    // Opened before the transaction begins, so that it reports every join that the snapshot does not contain.
    this.#opened?.end();
    this.#opened = openAllRooms(this.#context);
    return {
      readIn: async (own) => {
        const state = snapshotOf(own) ?? '';
        const cursor = encodeAllRoomsCursor(own.databaseId, state);
        const { rooms } = await findPositions(own);
        this.#position = { rooms: { snapshot: state, rooms }, cursor };
        return { kind: 'AppSnapshot', cursor, reason };
      },
    };
  }

  /** Continues after the snapshot that was sent. Called by the next pull, because a failed read may be repeated. */
  #followSnapshot({ rooms, cursor }: { rooms: RoomPositions; cursor: string }): void {
    const opened = this.#opened;
    this.#position = this.#opened = null;
    this.#changes.moveTo(cursor);
    if (opened) this.follow(opened.follow(rooms));
  }

  /** Sends a snapshot next if the stream cannot continue from its position. Throws all other errors. */
  #recover(error: unknown): void {
    if (!this.#sendsSnapshots || !isResyncRequired(error)) throw error;
    this.#owed = 'RESYNC';
  }

  onReady(listener: () => void, group: SubscriberGroup | null = null): void {
    [this.#listener, this.#group] = [listener, group];
    this.#changes.stream.onReady(listener);
    this.#rooms?.onReady(listener, group);
  }

  hasMore(): boolean {
    return (
      this.#owed !== null ||
      this.#position !== null ||
      this.#held !== null ||
      (this.#changes.stream.hasMore?.() ?? true) ||
      (this.#rooms?.hasMore?.() ?? true)
    );
  }

  lookahead(): readonly object[] {
    const { events = [], cursor = '' } = (this.#owed ? null : this.#rooms?.eventsAhead()) ?? {};
    return events.map((event) => placeAt(event, cursor));
  }

  end(): void {
    this.#changes.stream.end();
  }
}
