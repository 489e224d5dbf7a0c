import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import type { ChangeSet } from '../../delivery/changePoller.ts';
import { isResyncRequired } from '../../delivery/cursor.ts';
import {
  done,
  type MaybePromise,
  type Next,
  type Source,
  type Stream,
  type SubscriberGroup,
  toAsyncIterator,
} from '../../delivery/source.ts';
import type { SnapshotEvent } from '../../platform/database/consistentReads.ts';
import { eventsAfter, eventsFrom, positionOf } from './chatroomStream.ts';
import { type ChatroomEvent, cursorAt, type SnapshotReason } from './eventPage.ts';

/** A snapshot of a room, before it is read. */
type OwedSnapshot = SnapshotEvent<ChatroomEvent>;

/**
 * Streams the events of one room, and snapshots of the room where events alone do not lead to its current state. Without
 * `after`, the first event is a snapshot.
 *
 * Later snapshots have the reason `RESYNC`. They are sent if the stream cannot continue from its position, and if the
 * viewer has blocked or unblocked a user, because a block changes messages that were sent before.
 *
 * @throws ChatError as `followChatroom`, but not `RESYNC_REQUIRED`
 */
export async function followWithSnapshots(
  context: Context,
  chatroomId: string | null,
  after: string | null | undefined,
): Promise<Stream<ChatroomEvent | OwedSnapshot>> {
  requireViewer(context);
  if (after == null) return toAsyncIterator(new SnapshotStream(context, chatroomId, 'REQUESTED'));
  const room = await requireMembership(context, chatroomId);
  const events = await eventsAfter(context, room, after, { caughtUp: true }).catch(rethrowUnlessResync);
  const stream = new SnapshotStream(context, room.id, events ? null : 'RESYNC');
  if (events) stream.follow(room, events);
  return toAsyncIterator(stream);
}

/** A class, because its functions are on the path of each event to each subscriber. */
class SnapshotStream implements Source<ChatroomEvent | OwedSnapshot> {
  readonly startsAtOnce: boolean;
  readonly #context: Context;
  readonly #chatroomId: string | null;
  readonly #stopListening: () => void;
  #state: 'following' | 'ended' = 'following';
  /** Reason of the snapshot that is sent next. Null if an event of the log comes next. */
  #owed: SnapshotReason | null;
  /** Events after the last snapshot. Null before the first one. */
  #events: Source<ChatroomEvent> | null = null;
  #isDirect = false;
  #listener = () => {};
  #group: SubscriberGroup | null = null;

  constructor(context: Context, chatroomId: string | null, owed: SnapshotReason | null) {
    [this.#context, this.#chatroomId, this.#owed] = [context, chatroomId, owed];
    this.startsAtOnce = owed !== null;
    const { userId } = requireViewer(context);
    // The block cache has been updated before this call, because it listens since the start of the node. After the
    // snapshot, no event is therefore filtered by an older block.
    this.#stopListening = context.changePoller.listen(({ unlogged }: ChangeSet) => {
      if (unlogged.get(userId)?.some(({ kind }) => kind === 'BLOCK_CHANGED')) this.#resync();
    });
  }

  /** Continues with the events after a state of the room. */
  follow({ kind }: VisibleChatroom, events: Source<ChatroomEvent>): void {
    this.#events?.end();
    this.#isDirect = kind === 'DIRECT';
    this.#events = events;
    events.onReady(this.#listener, this.#group);
    if (this.#state === 'ended') events.end();
  }

  pull(): MaybePromise<Next<ChatroomEvent | OwedSnapshot>> {
    if (this.#state === 'ended') return done;
    if (this.#owed) return { value: this.#snapshot(this.#owed), done: false };
    try {
      const pulled = this.#events?.pull() ?? null;
      return pulled instanceof Promise ? pulled.catch((error: unknown) => this.#recover(error)) : pulled;
    } catch (error) {
      return this.#recover(error);
    }
  }

  onReady(listener: () => void, group: SubscriberGroup | null = null): void {
    [this.#listener, this.#group] = [listener, group];
    this.#events?.onReady(listener, group);
  }

  hasMore(): boolean {
    return this.#owed !== null || (this.#events?.hasMore?.() ?? true);
  }

  lookahead(): readonly object[] {
    return this.#owed ? [] : (this.#events?.lookahead?.() ?? []);
  }

  end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#stopListening();
    this.#events?.end();
  }

  #snapshot(reason: SnapshotReason): OwedSnapshot {
    // Cleared before the read, so that a block during the read causes another snapshot.
    this.#owed = null;
    return {
      readIn: async (own) => {
        const room = await requireMembership(own, this.#chatroomId);
        // The room was read in the state of the snapshot, so the log continues exactly after it.
        this.follow(room, eventsFrom(this.#context, room, positionOf(room)));
        const { id: chatroomId, lastSeq: seq, lastNumber: number } = room;
        const cursor = cursorAt(own.databaseId, { chatroomId, seq, number });
        const event = { chatroomId, seq, cursor, isShared: false, message: null, userId: null, actorId: null };
        return { kind: 'SNAPSHOT', reason, ...event };
      },
    };
  }

  /** Sends a snapshot next. A block changes nothing in a DIRECT room. */
  #resync(): void {
    if (this.#isDirect) return;
    this.#owed ??= 'RESYNC';
    this.#listener();
  }

  #recover(error: unknown): MaybePromise<Next<ChatroomEvent | OwedSnapshot>> {
    rethrowUnlessResync(error);
    this.#owed = 'RESYNC';
    return this.pull();
  }
}

function rethrowUnlessResync(error: unknown): null {
  if (isResyncRequired(error)) return null;
  throw error;
}
