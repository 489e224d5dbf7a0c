import { chatroomById, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, eventContext, requireViewer, snapshotOf } from '../../core/context.ts';
import type { SnapshotEvent } from '../../platform/database/consistentReads.ts';
import { sql } from '../../platform/database/database.ts';
import { type AllRoomsStream, followAllRooms } from '../chatroomEvents/allRoomsStream.ts';
import { endsMembership, isVisible } from '../chatroomEvents/chatroomStream.ts';
import { subscribeHints, type Hint } from '../../delivery/userHints.ts';
import type { NoticeSender } from '../messages/messages.ts';
import type { Message } from '../../platform/database/generated/client.ts';
import type { FollowedEvent } from '../../delivery/roomFollower.ts';
import { encodeAllRoomsCursor, isResyncRequired } from '../../delivery/cursor.ts';
import { createConflatedStream } from '../../delivery/conflatedStream.ts';
import { andThen, forEach, type MaybePromise } from '../../delivery/source.ts';
import type { ChangeSet } from '../../delivery/changePoller.ts';
import { blockStateOf } from '../relationships/blocks.ts';
import { friendshipStatusOf } from '../relationships/friends.ts';
import { findChangesSince, type VanishedReason } from './changes.ts';
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

/** A pending event with the cursor that it is sent with. */
interface Item {
  change: PendingChange;
  cursor: string;
  /** Set for an unread count. */
  moment?: UnreadMoment;
}

/** Maximum number of notices that are buffered for one subscriber. A further notice replaces the oldest one. */
const MAX_NOTICES = 100;

/**
 * Streams the events that concern the viewer. Events can repeat or be lost; the query fields return the current state.
 * The stream is conflated: at most one event of each kind is buffered for a room or user.
 *
 * With `after`, first reports rooms that appeared or vanished since that cursor, and blocks that changed since then.
 * The viewer's list and blocks are read when an event is sent. The last event of a room or user is therefore correct
 * even if changes were reported out of order.
 *
 * With `snapshot` and without `after`, the first event is a snapshot of the viewer's data. It is read when the stream
 * already receives every hint, so a change after the snapshot is reported. Also sent if the stream cannot resume from
 * `after`.
 *
 * @param after an all-rooms cursor
 * @throws ChatError as {@link findChangesSince}; with `snapshot`, not `RESYNC_REQUIRED`
 */
export async function followViewer(
  context: Context,
  after: string | null | undefined,
  snapshot = false,
): Promise<AsyncIterableIterator<ViewerEvent | SnapshotEvent<ViewerEvent>>> {
  const { userId } = requireViewer(context);
  let notices = 0;
  let rooms: AllRoomsStream | null = null;
  /** Rooms whose next moment this stream awaits. */
  const awaited = new Set<string>();
  /** Rooms that are not DIRECT, among those with events. */
  const groups = new Set<string>();
  // All changes up to this cursor have been added to the conflated stream. Each pending event keeps the cursor that was
  // current when the event was added. The oldest event is sent first. The cursor of a sent event therefore never covers
  // a pending event.
  let cursor = after ?? encodeAllRoomsCursor(context.databaseId, context.changePoller.snapshot());

  /** Adds the changes that the viewer missed. Returns false if the stream cannot resume and sends a snapshot instead. */
  async function addMissed(after: string): Promise<boolean> {
    const missed = await findChangesSince(context, after).catch((error: unknown) => {
      if (snapshot && isResyncRequired(error)) return null;
      throw error;
    });
    if (!missed) return false;
    const { appeared, vanished, blocks } = missed;
    for (const room of vanished) add({ kind: 'VANISHED', ...room });
    for (const chatroomId of appeared) add({ kind: 'APPEARED', chatroomId });
    for (const blockedId of blocks) add({ kind: 'BLOCK', userId: blockedId });
    return true;
  }

  function readIn(own: Context): Promise<ViewerEvent> {
    // Later events continue after the snapshot. Events of earlier changes may still follow; they are read again when
    // they are sent.
    cursor = encodeAllRoomsCursor(context.databaseId, snapshotOf(own) ?? '');
    return Promise.resolve({ kind: 'ViewerSnapshot', cursor });
  }

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
      stream.set(key, { change, cursor });
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
    const moment = await context.unreadMoments.next(chatroomId);
    awaited.delete(chatroomId);
    stream.set(`unread ${chatroomId}`, { change: { kind: 'UNREAD', chatroomId }, cursor, moment });
  }

  async function read({ change, cursor, moment }: Item): Promise<ViewerEvent | null> {
    // A room that is not DIRECT is in the list of each member, so all members can receive the same event.
    if (moment && change.kind === 'UNREAD' && groups.has(change.chatroomId) && rooms?.isMemberOf(change.chatroomId))
      return sharedEvent(moment, cursor);
    const data = await readChange(change);
    return data && { ...data, cursor };
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
        // Read again, because the hints of two nodes may arrive in another order than their commits.
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
    if (hint.kind !== 'PRESENCE' && hint.kind !== 'SEEN') add(hint);
  };
  const onPolled = ({ unlogged }: ChangeSet) => {
    for (const change of unlogged.get(userId) ?? []) {
      if (change.kind === 'BLOCK_CHANGED') add({ kind: 'BLOCK', userId: change.otherId });
      else if (change.kind === 'SHOWN') add({ kind: 'APPEARED', chatroomId: change.chatroomId });
      else add({ kind: 'VANISHED', chatroomId: change.chatroomId, reason: 'HIDDEN' });
    }
  };

  const stream = createConflatedStream<Item, ViewerEvent | SnapshotEvent<ViewerEvent>>(context.gauges, read);
  return stream.connect(async () => {
    // Listens before the missed changes are read, so that no change is lost between the read and the live events.
    stream.onClose(context.changePoller.listen(onPolled));
    const events = await followAllRooms(context, null);
    rooms = events;
    stream.onClose(() => void events.return?.());
    stream.onClose(await subscribeHints(context.bus, userId, onHint));
    const isKnown = after != null && (await addMissed(after));
    if (!isKnown && snapshot) stream.startWith({ readIn });
    forEach(events, ({ event, cursor: reached }) =>
      andThen(changeOf(event), (change) => {
        cursor = reached;
        if (change) add(change);
      }),
    ).catch(stream.error);
  });
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
