import { chatroomById, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import { followAllRooms } from '../chatroomEvents/allRoomsStream.ts';
import { endsMembership, isVisible } from '../chatroomEvents/chatroomStream.ts';
import { subscribeHints, type Hint } from '../../delivery/userHints.ts';
import type { NoticeSender } from '../messages/messages.ts';
import type { Message } from '../../platform/database/generated/client.ts';
import type { FollowedEvent } from '../../delivery/roomFollower.ts';
import { encodeAllRoomsCursor } from '../../delivery/cursor.ts';
import { createConflatedStream } from '../../delivery/conflatedStream.ts';
import type { ChangeSet } from '../../delivery/changePoller.ts';
import { blockStateOf } from '../relationships/blocks.ts';
import { findChangesSince, type VanishedReason } from './changes.ts';

/** An event that concerns the viewer, independent of the room or page that the client shows. */
export type ViewerEvent = { cursor: string } & Happening;

type Happening =
  | { kind: 'ChatroomAppeared'; chatroom: VisibleChatroom }
  | { kind: 'ChatroomVanished'; chatroomId: string; reason: VanishedReason | null }
  | { kind: 'FriendshipChanged'; userId: string; status: 'PENDING' | 'ACCEPTED' | null }
  | { kind: 'BlockChanged'; userId: string; blocked: boolean }
  | { kind: 'UnreadChanged'; chatroom: VisibleChatroom }
  | ({ kind: 'SystemNotice'; body: string; sentAt: Date; clientMessageId: string | null } & NoticeSender);

/** A pending event. Its data is read when the subscriber requests the event. */
type Cue =
  | { kind: 'APPEARED' | 'UNREAD'; chatroomId: string }
  | { kind: 'VANISHED'; chatroomId: string; reason: VanishedReason | null }
  | { kind: 'BLOCK'; userId: string }
  | Extract<Hint, { kind: 'FRIENDSHIP' | 'NOTICE' }>;

/** Maximum number of notices that wait for one subscriber. A further notice replaces the oldest one. */
const MAX_NOTICES = 100;

/**
 * Streams the events that concern the viewer. Events can repeat or be lost; the query fields return the current state.
 * The stream is conflated: at most one event of each kind is buffered for a room or user.
 *
 * With `after`, first sends the rooms that appeared or vanished and the blocks that changed since that cursor. The
 * viewer's list and blocks are read when an event is sent. The last event of a room or user is therefore correct even
 * if changes were reported out of order.
 *
 * @param after an all-rooms cursor
 * @throws ChatError as {@link findChangesSince}
 */
export async function followViewer(
  context: Context,
  after: string | null | undefined,
): Promise<AsyncIterableIterator<ViewerEvent>> {
  const { userId } = requireViewer(context);
  let notices = 0;
  // Cursor of a snapshot. All changes that are visible in the snapshot have been added to the conflated stream. Each
  // pending event is added together with the current cursor, and the oldest is sent first. The cursor of a sent event
  // therefore never covers an event that is still pending.
  let cursor = after ?? encodeAllRoomsCursor(context.databaseId, context.changePoller.snapshot());

  async function cueOf(event: FollowedEvent): Promise<Cue | null> {
    const { chatroomId } = event;
    if (event.kind === 'CHATROOM_DELETED' || endsMembership(event, userId))
      return { kind: 'VANISHED', chatroomId, reason: reasonOf(event) };
    const { kind, message, roomKind } = event;
    if (kind === 'MEMBER_JOINED' && event.userId === userId) return { kind: 'APPEARED', chatroomId };
    if ((kind !== 'MESSAGE_ADDED' && kind !== 'MESSAGE_DELETED') || !message) return null;
    if (!(await isVisible(context, event))) return null;
    // Only a message in a DIRECT room can make the room appear.
    const opens = kind === 'MESSAGE_ADDED' && roomKind === 'DIRECT' && (await opensRoom(context, message));
    return { kind: opens ? 'APPEARED' : 'UNREAD', chatroomId };
  }

  function tell(cue: Cue): void {
    const put = (key: string, what = cue) => {
      mailbox.set(key, { cue: what, cursor });
    };
    switch (cue.kind) {
      case 'APPEARED':
        put(`appeared ${cue.chatroomId}`);
        // If a message made the room appear, that message is also unread.
        put(`unread ${cue.chatroomId}`, { ...cue, kind: 'UNREAD' });
        return;
      case 'VANISHED':
        put(`vanished ${cue.chatroomId}`);
        return;
      case 'UNREAD':
        put(`unread ${cue.chatroomId}`);
        return;
      case 'FRIENDSHIP':
        put(`friend ${cue.userId}`);
        return;
      case 'BLOCK':
        put(`block ${cue.userId}`);
        return;
      case 'NOTICE':
        notices += 1;
        put(`notice ${notices % MAX_NOTICES}`);
    }
  }

  async function read(item: { cue: Cue; cursor: string }): Promise<ViewerEvent | null> {
    const happening = await readCue(item.cue);
    return happening && { ...happening, cursor: item.cursor };
  }

  async function readCue(cue: Cue): Promise<Happening | null> {
    switch (cue.kind) {
      case 'APPEARED':
      case 'VANISHED':
      case 'UNREAD': {
        const { chatroomId } = cue;
        const chatroom = await chatroomById(eventContext(context), chatroomId);
        // The viewer's list leaves out two kinds of DIRECT rooms: those that the viewer has hidden, and those that
        // another user has created and that have no message yet.
        const listed = chatroom?.viewerRole && !chatroom.isHidden ? chatroom : null;
        if (cue.kind === 'VANISHED')
          return listed ? null : { kind: 'ChatroomVanished', chatroomId, reason: cue.reason };
        if (!listed) return null;
        return { kind: cue.kind === 'APPEARED' ? 'ChatroomAppeared' : 'UnreadChanged', chatroom: listed };
      }
      case 'FRIENDSHIP':
        return { kind: 'FriendshipChanged', userId: cue.userId, status: cue.status };
      case 'BLOCK': {
        const state = await blockStateOf(eventContext(context), cue.userId);
        return { kind: 'BlockChanged', userId: cue.userId, blocked: state?.viewerHasBlocked ?? false };
      }
      case 'NOTICE':
        return { ...cue, kind: 'SystemNotice', sentAt: new Date(cue.sentAt) };
    }
  }

  const onHint = (hint: Hint) => {
    if (hint.kind !== 'PRESENCE' && hint.kind !== 'SEEN') tell(hint);
  };
  const onPolled = ({ unlogged }: ChangeSet) => {
    for (const change of unlogged.get(userId) ?? []) {
      if (change.kind === 'BLOCK_CHANGED') tell({ kind: 'BLOCK', userId: change.otherId });
      else if (change.kind === 'SHOWN') tell({ kind: 'APPEARED', chatroomId: change.chatroomId });
      else tell({ kind: 'VANISHED', chatroomId: change.chatroomId, reason: 'HIDDEN' });
    }
  };

  const mailbox = createConflatedStream(context.gauges, read);
  return mailbox.connect(async () => {
    // Listens before the missed changes are read, so that a change committed during or after that read is reported
    // live.
    mailbox.onClose(context.changePoller.listen(onPolled));
    const rooms = await followAllRooms(context, null);
    mailbox.onClose(() => void rooms.return?.());
    mailbox.onClose(await subscribeHints(context.bus, userId, onHint));
    if (after != null) {
      const { appeared, vanished, blocks } = await findChangesSince(context, after);
      for (const room of vanished) tell({ kind: 'VANISHED', ...room });
      for (const chatroomId of appeared) tell({ kind: 'APPEARED', chatroomId });
      for (const blockedId of blocks) tell({ kind: 'BLOCK', userId: blockedId });
    }
    const watch = async () => {
      for await (const { event, cursor: reached } of rooms) {
        const cue = await cueOf(event);
        cursor = reached;
        if (cue) tell(cue);
      }
    };
    watch().catch(mailbox.error);
  });
}

/** Returns why a room vanished. Null for a MEMBER_LEFT event without an actor, which an earlier release stored. */
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
