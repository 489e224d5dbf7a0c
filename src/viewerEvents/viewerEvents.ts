import { chatroomById, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import { followAllRooms } from '../events/allRooms.ts';
import { isLoss } from '../events/events.ts';
import { hear, type Hint } from '../hints.ts';
import { isReadable, type NoticeSender } from '../messages/messages.ts';
import type { Followed } from '../realtime/follow.ts';
import { encodeAllRoomsCursor } from '../realtime/cursor.ts';
import { createMailbox } from '../realtime/mailbox.ts';
import type { Swept } from '../realtime/sweep.ts';
import { findChangesSince, type VanishedReason } from './changes.ts';

/** Something that concerns the viewer, whichever room or page they look at. */
export type ViewerEvent = { cursor: string } & Happening;

type Happening =
  | { kind: 'ChatroomAppeared'; chatroom: VisibleChatroom }
  | { kind: 'ChatroomVanished'; chatroomId: string; reason: VanishedReason | null }
  | { kind: 'FriendshipChanged'; userId: string; status: 'PENDING' | 'ACCEPTED' | null }
  | { kind: 'UnreadChanged'; chatroom: VisibleChatroom }
  | ({ kind: 'SystemNotice'; body: string; sentAt: Date; clientMessageId: string | null } & NoticeSender);

/** What to look at when the subscriber takes the next event. */
type Cue =
  | { kind: 'APPEARED' | 'UNREAD'; chatroomId: string }
  | { kind: 'VANISHED'; chatroomId: string; reason: VanishedReason | null }
  | Extract<Hint, { kind: 'FRIENDSHIP' | 'NOTICE' }>;

/** How many notices wait for one subscriber. */
const MOST_NOTICES = 100;

/**
 * What concerns the viewer: hints, each of which has a query field that is the truth. However much happens in a room, one
 * event of a kind waits for it.
 *
 * With `after`, first the rooms that appeared or vanished since that cursor. Whether a room is in the viewer's list is read
 * when the event is sent, so that the last event of a room is true even if its changes were reported out of order.
 *
 * @param after a cursor over all rooms
 * @throws ChatError as {@link findChangesSince}
 */
export async function followViewer(
  context: Context,
  after: string | null | undefined,
): Promise<AsyncIterableIterator<ViewerEvent>> {
  const { userId } = requireViewer(context);
  let notices = 0;
  // A snapshot: every change that it has seen has been put into the mailbox. Each cue keeps the one of its time, and the mailbox
  // gives out the oldest cue first, so that no event is newer than one that still waits.
  let cursor = after ?? encodeAllRoomsCursor(context.databaseMark, context.sweep.snapshot());

  async function cueOf(event: Followed): Promise<Cue | null> {
    const { kind, chatroomId, number } = event;
    if (isLoss(event, userId)) return { kind: 'VANISHED', chatroomId, reason: reasonOf(event) };
    if (kind === 'MEMBER_JOINED' && event.userId === userId) return { kind: 'APPEARED', chatroomId };
    if ((kind !== 'MESSAGE_ADDED' && kind !== 'MESSAGE_DELETED') || number === null) return null;
    const message = await readMessage(context, chatroomId, number);
    if (!message) return null;
    return { kind: kind === 'MESSAGE_ADDED' && message.opens ? 'APPEARED' : 'UNREAD', chatroomId };
  }

  function tell(cue: Cue): void {
    const put = (key: string, what = cue) => {
      mailbox.put(key, { cue: what, cursor });
    };
    switch (cue.kind) {
      case 'APPEARED':
        put(`appeared ${cue.chatroomId}`);
        // A message that opens a room is also unread.
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
      case 'NOTICE':
        notices += 1;
        put(`notice ${notices % MOST_NOTICES}`);
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
        const chatroom = await chatroomById(freshContext(context), chatroomId);
        // A DIRECT room is hidden from its other member until its first message.
        const listed = chatroom?.viewerRole && !chatroom.isHidden ? chatroom : null;
        if (cue.kind === 'VANISHED')
          return listed ? null : { kind: 'ChatroomVanished', chatroomId, reason: cue.reason };
        if (!listed) return null;
        return { kind: cue.kind === 'APPEARED' ? 'ChatroomAppeared' : 'UnreadChanged', chatroom: listed };
      }
      case 'FRIENDSHIP':
        return { kind: 'FriendshipChanged', userId: cue.userId, status: cue.status };
      case 'NOTICE':
        return { ...cue, kind: 'SystemNotice', sentAt: new Date(cue.sentAt) };
    }
  }

  const onHint = (hint: Hint) => {
    if (hint.kind !== 'PRESENCE' && hint.kind !== 'SEEN') tell(hint);
  };
  const onSwept = ({ hidings }: Swept) => {
    for (const { chatroomId, kind } of hidings.get(userId) ?? [])
      tell(kind === 'SHOWN' ? { kind: 'APPEARED', chatroomId } : { kind: 'VANISHED', chatroomId, reason: 'HIDDEN' });
  };

  const mailbox = createMailbox(context.open, read);
  return mailbox.connect(async () => {
    // First, so that what is committed after the changes since the cursor were read is reported live.
    mailbox.onReturn(context.sweep.listen(onSwept));
    const rooms = await followAllRooms(context, null);
    mailbox.onReturn(() => void rooms.return?.());
    mailbox.onReturn(await hear(context.bus, userId, onHint));
    if (after != null) {
      const { appeared, vanished } = await findChangesSince(context, after);
      for (const room of vanished) tell({ kind: 'VANISHED', ...room });
      for (const chatroomId of appeared) tell({ kind: 'APPEARED', chatroomId });
    }
    const watch = async () => {
      for await (const { event, cursor: reached } of rooms) {
        const cue = await cueOf(event);
        cursor = reached;
        if (cue) tell(cue);
      }
    };
    watch().catch(mailbox.fail);
  });
}

/** Why an event ends what its user may see of the room. Null for an event of an earlier release, which stored no actor. */
function reasonOf({ kind, userId, actorId }: Followed): VanishedReason | null {
  if (kind === 'CHATROOM_DELETED') return 'DELETED';
  if (actorId === null) return null;
  return actorId === userId ? 'LEFT' : 'REMOVED';
}

/**
 * Whether a message opens a DIRECT room for the viewer: it is the first, or the first since they hid the room. Null where
 * a block hides it.
 */
async function readMessage(context: Context, chatroomId: string, number: number): Promise<{ opens: boolean } | null> {
  const viewer = sql`${requireViewer(context).userId}::uuid`;
  const [found] = await context.database.query<{ opens: boolean }>(sql`
    SELECT c.kind = 'DIRECT' AND coalesce(v.hidden_at_number, 0) + 1 = m.number AS opens
      FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id
      JOIN members v ON v.chatroom_id = m.chatroom_id AND v.user_id = ${viewer}
      WHERE m.chatroom_id = ${chatroomId}::uuid AND m.number = ${number} AND ${isReadable(viewer)}`);
  return found ?? null;
}
