import { chatroomById, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import type { SnapshotEvent } from '../../platform/database/consistentReads.ts';
import { sql } from '../../platform/database/database.ts';
import type { AllRoomsEvent, AllRoomsStream } from '../chatroomEvents/allRoomsStream.ts';
import { endsMembership, isVisible } from '../chatroomEvents/chatroomStream.ts';
import { subscribeHints, type Hint } from '../../delivery/userHints.ts';
import type { NoticeSender } from '../messages/messages.ts';
import type { Message } from '../../platform/database/generated/client.ts';
import type { FollowedEvent } from '../../delivery/roomFollower.ts';
import { type ConflatedStream, createConflatedStream } from '../../delivery/conflatedStream.ts';
import { andThen, type MaybePromise } from '../../delivery/source.ts';
import { type ChangeSet, isVisibleIn } from '../../delivery/changePoller.ts';
import { blockStateOf } from '../relationships/blocks.ts';
import { friendshipStatusOf } from '../relationships/friends.ts';
import type { VanishedReason, MissedChanges } from './missedChanges.ts';
import type { UnreadChanged, UnreadMoment } from './unreadMoments.ts';

/** An event that concerns the viewer, independent of the room or page that the client shows. */
export type ViewerEvent = { cursor: string } & EventData;

type EventData =
  | { kind: 'ChatroomAppeared'; chatroom: VisibleChatroom }
  | { kind: 'ChatroomVanished'; chatroomId: string; reason: VanishedReason | null }
  | { kind: 'ViewerSnapshot' }
  | { kind: 'FriendshipChanged'; userId: string; status: 'PENDING' | 'ACCEPTED' | null }
  | { kind: 'BlockChanged'; userId: string; blocked: boolean }
  | UnreadChanged
  | ({ kind: 'SystemNotice'; body: string; sentAt: Date; clientMessageId: string | null } & NoticeSender);

/** A pending event. Its data is read when the subscriber requests the event. */
type PendingChange =
  | { kind: 'APPEARED' | 'UNREAD'; chatroomId: string }
  | { kind: 'VANISHED'; chatroomId: string; reason: VanishedReason | null }
  | { kind: 'BLOCK' | 'FRIENDSHIP'; userId: string }
  | Extract<Hint, { kind: 'NOTICE' }>;

/** A pending event with its cursor. A cursor of an earlier epoch is replaced by the cursor of the last snapshot. */
interface Item {
  change: PendingChange;
  cursor: string;
  epoch: number;
  /** Set for an unread count. */
  moment?: UnreadMoment;
}

/** Maximum number of notices that are buffered for one subscriber. A further notice replaces the oldest one. */
const MAX_NOTICES = 100;

/** The pending events of one subscriber. */
export interface ViewerChanges {
  /** Pending events, conflated: at most one of each kind for a room or user. */
  stream: ConflatedStream<Item, ViewerEvent | SnapshotEvent<ViewerEvent>>;
  /** Starts to add the changes that hints and polls report. */
  listen(): Promise<void>;
  /**
   * Sets the rooms whose events are given to `apply`, and starts to add polled changes. A poll may report a change up to
   * a second after its commit. Changes that the snapshot of the rooms sees are left out, except blocks.
   */
  setRooms(rooms: AllRoomsStream): void;
  /** Adds the change that an event of a room causes. Later changes have the cursor of this event. */
  apply(event: AllRoomsEvent): MaybePromise<void>;
  /** Adds the changes that the subscriber missed. */
  addMissed(missed: MissedChanges): void;
  /** Replaces the cursors of all pending events by that of a snapshot that the subscriber has received. */
  moveTo(cursor: string): void;
  /** Returns a cursor that covers no unread count that is still to be sent: the given one, or an earlier one. */
  beforeUnread(cursor: string): string;
}

/**
 * Creates the pending events of one subscriber. All changes up to the current cursor have been added. Each pending event
 * keeps the cursor that was current when the event was added. The oldest event is sent first. The cursor of a sent event
 * therefore never covers a pending event.
 *
 * The viewer's list and blocks are read when an event is sent. The last event of a room or user is therefore correct
 * even if changes were reported out of order.
 *
 * @param start cursor of the first events
 */
export function createViewerChanges(context: Context, start: string): ViewerChanges {
  const { userId } = requireViewer(context);
  let cursor = start;
  /** Number of snapshots so far. Items with a lower epoch have the cursor `epochStart`. */
  let epoch = 0;
  let epochStart = start;
  let notices = 0;
  let rooms: AllRoomsStream | null = null;
  /** Rooms whose next moment this stream awaits. */
  const awaited = new Set<string>();
  /** Rooms with an unread count to be sent, and the cursor of the first change since the last one. Oldest first. */
  const unsent = new Map<string, string>();
  /** Change sets that were polled before `rooms` was set. */
  const early: ChangeSet[] = [];
  /** Rooms that are not DIRECT, among those with events. */
  const groups = new Set<string>();

  function changeOf(event: FollowedEvent): MaybePromise<PendingChange | null> {
    const { chatroomId } = event;
    if (event.kind === 'CHATROOM_DELETED' || endsMembership(event, userId))
      return { kind: 'VANISHED', chatroomId, reason: reasonOf(event) };
    const { kind, message, roomKind } = event;
    if (roomKind !== 'DIRECT') groups.add(chatroomId);
    if (kind === 'MEMBER_JOINED' && event.userId === userId) return { kind: 'APPEARED', chatroomId };
    if ((kind !== 'MESSAGE_ADDED' && kind !== 'MESSAGE_DELETED') || !message) return null;
    // Only a message in a DIRECT room can make the room appear.
    if (roomKind === 'DIRECT' && kind === 'MESSAGE_ADDED')
      return opensRoom(context, message).then((opens) => ({ kind: opens ? 'APPEARED' : 'UNREAD', chatroomId }));
    return andThen(isVisible(context, event), (visible) => (visible ? { kind: 'UNREAD', chatroomId } : null));
  }

  function add(change: PendingChange): void {
    const put = (key: string) => {
      stream.set(key, { change, cursor, epoch });
    };
    switch (change.kind) {
      case 'APPEARED':
        put(`appeared ${change.chatroomId}`);
        // If a message made the room appear, that message is also unread.
        void addUnread(change.chatroomId);
        return;
      case 'VANISHED':
        put(`vanished ${change.chatroomId}`);
        return;
      case 'UNREAD':
        void addUnread(change.chatroomId);
        return;
      case 'FRIENDSHIP':
        put(`friend ${change.userId}`);
        return;
      case 'BLOCK':
        put(`block ${change.userId}`);
        return;
      case 'NOTICE':
        notices += 1;
        put(`notice ${notices % MAX_NOTICES}`);
    }
  }

  /** Adds an unread count at the next moment of the room. The count is read after that, so it includes this change. */
  async function addUnread(chatroomId: string): Promise<void> {
    if (awaited.has(chatroomId)) return;
    awaited.add(chatroomId);
    if (!unsent.has(chatroomId)) unsent.set(chatroomId, cursor);
    const moment = await context.unreadMoments.next(chatroomId);
    awaited.delete(chatroomId);
    stream.set(`unread ${chatroomId}`, { change: { kind: 'UNREAD', chatroomId }, cursor, epoch, moment });
  }

  function beforeUnread(later: string): string {
    const [first] = unsent.values();
    return first ?? later;
  }

  async function read(item: Item): Promise<ViewerEvent | null> {
    const { change, moment } = item;
    const at = beforeUnread(item.epoch === epoch ? item.cursor : epochStart);
    if (change.kind === 'UNREAD' && !awaited.has(change.chatroomId)) unsent.delete(change.chatroomId);
    // A room that is not DIRECT is in the list of each member, so all members can receive the same event.
    if (moment && change.kind === 'UNREAD' && groups.has(change.chatroomId) && rooms?.isMemberOf(change.chatroomId))
      return sharedEvent(moment, at);
    const data = await readChange(change);
    return data && { ...data, cursor: at };
  }

  async function readChange(change: PendingChange): Promise<EventData | null> {
    switch (change.kind) {
      case 'APPEARED':
      case 'VANISHED':
      case 'UNREAD': {
        const { chatroomId } = change;
        const chatroom = await chatroomById(eventContext(context), chatroomId);
        // The viewer's list leaves out DIRECT rooms that the viewer has hidden. The list also leaves out DIRECT rooms
        // that another user created and that have no message yet.
        const listed = chatroom?.viewerRole && !chatroom.isHidden ? chatroom : null;
        if (change.kind === 'VANISHED')
          return listed ? null : { kind: 'ChatroomVanished', chatroomId, reason: change.reason };
        if (!listed) return null;
        if (change.kind === 'APPEARED') return { kind: 'ChatroomAppeared', chatroom: listed };
        return { kind: 'UnreadChanged', chatroomId, chatroom: listed };
      }
      case 'FRIENDSHIP': {
        // Read when the event is sent, because one event may stand for several changes.
        const status = await friendshipStatusOf(context.database, userId, change.userId);
        return { kind: 'FriendshipChanged', userId: change.userId, status };
      }
      case 'BLOCK': {
        const state = await blockStateOf(eventContext(context), change.userId);
        return { kind: 'BlockChanged', userId: change.userId, blocked: state?.viewerHasBlocked ?? false };
      }
      case 'NOTICE':
        return { ...change, kind: 'SystemNotice', sentAt: new Date(change.sentAt) };
    }
  }

  const onHint = (hint: Hint) => {
    if (hint.kind === 'PRESENCE' || hint.kind === 'SEEN') return;
    if (hint.kind === 'FRIENDSHIP' && hint.isPolled) return;
    add(hint);
  };
  const onPolled = (changes: ChangeSet) => {
    if (!rooms) {
      if (changes.unlogged.has(userId)) early.push(changes);
      return;
    }
    for (const change of changes.unlogged.get(userId) ?? []) {
      // Sent even if the snapshot sees the block. Until this poll, the block cache was outdated, so the viewer's streams
      // may have left out messages. The event makes clients load them again.
      if (change.kind === 'BLOCK_CHANGED') add({ kind: 'BLOCK', userId: change.otherId });
      // Only a snapshot shows these changes.
      else if (change.kind === 'VIEWER_CHANGED' || isVisibleIn(rooms.snapshot, change.xid)) continue;
      else if (change.kind === 'FRIENDSHIP_CHANGED') add({ kind: 'FRIENDSHIP', userId: change.otherId });
      else if (change.kind === 'SHOWN') add({ kind: 'APPEARED', chatroomId: change.chatroomId });
      else add({ kind: 'VANISHED', chatroomId: change.chatroomId, reason: 'HIDDEN' });
    }
  };

  const stream = createConflatedStream<Item, ViewerEvent | SnapshotEvent<ViewerEvent>>(context.gauges, read);
  return {
    stream,
    async listen() {
      stream.onClose(context.changePoller.listen(onPolled));
      stream.onClose(await subscribeHints(context.bus, userId, onHint));
    },
    setRooms(followed) {
      rooms = followed;
      early.splice(0).forEach(onPolled);
    },
    apply: ({ event, cursor: reached }) =>
      andThen(changeOf(event), (change) => {
        cursor = reached;
        if (change) add(change);
      }),
    addMissed({ appeared, vanished, blocks, friendships, marked }) {
      for (const room of vanished) add({ kind: 'VANISHED', ...room });
      for (const chatroomId of appeared) add({ kind: 'APPEARED', chatroomId });
      for (const blockedId of blocks) add({ kind: 'BLOCK', userId: blockedId });
      for (const friendId of friendships) add({ kind: 'FRIENDSHIP', userId: friendId });
      for (const chatroomId of marked) add({ kind: 'UNREAD', chatroomId });
    },
    moveTo(snapshot) {
      cursor = epochStart = snapshot;
      epoch += 1;
      for (const chatroomId of unsent.keys()) unsent.set(chatroomId, snapshot);
    },
    beforeUnread,
  };
}

/** Returns the event of a moment with the cursor of one stream. */
function sharedEvent(moment: UnreadMoment, cursor: string): ViewerEvent {
  const { event } = moment.current();
  return { ...event, cursor, sharedAs: event };
}

/** Returns why a room vanished. Null for a MEMBER_LEFT event that an earlier release stored without an actor. */
function reasonOf(event: FollowedEvent): VanishedReason | null {
  if (event.kind === 'CHATROOM_DELETED') return 'DELETED';
  if (event.actorId === null) return null;
  return event.actorId === event.userId ? 'LEFT' : 'REMOVED';
}

/**
 * Returns whether a message makes its DIRECT room appear in the viewer's list. True for the first message of the room,
 * and for the first message after the viewer hid the room.
 */
async function opensRoom(context: Context, { chatroomId, number }: Message): Promise<boolean> {
  const { userId } = requireViewer(context);
  const found = await context.database.query(sql`
    SELECT FROM members
      WHERE chatroom_id = ${chatroomId}::uuid AND user_id = ${userId}::uuid
        AND coalesce(hidden_at_number, 0) + 1 = ${number}::int`);
  return found.length > 0;
}
