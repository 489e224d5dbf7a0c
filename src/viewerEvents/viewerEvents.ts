import { chatroomById, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import { followAllRooms } from '../events/allRooms.ts';
import { isLoss } from '../events/events.ts';
import { hear, type Hint } from '../hints.ts';
import { isReadable } from '../messages/messages.ts';
import type { Followed } from '../realtime/follow.ts';
import { createMailbox } from '../realtime/mailbox.ts';

/** Something that concerns the viewer, whichever room or page they look at. */
export type ViewerEvent =
  | { kind: 'ChatroomAppeared'; chatroom: VisibleChatroom }
  | { kind: 'ChatroomVanished'; chatroomId: string; reason: VanishedReason | null }
  | { kind: 'FriendshipChanged'; userId: string; status: 'PENDING' | 'ACCEPTED' | null }
  | { kind: 'UnreadChanged'; chatroom: VisibleChatroom }
  | { kind: 'SystemNotice'; body: string; sentAt: Date };

/** Why the viewer has lost a room. */
export type VanishedReason = 'LEFT' | 'REMOVED' | 'DELETED' | 'HIDDEN';

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
 */
export async function followViewer(context: Context): Promise<AsyncIterableIterator<ViewerEvent>> {
  const { userId } = requireViewer(context);
  let notices = 0;

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
    switch (cue.kind) {
      case 'APPEARED':
      case 'VANISHED':
        // Of the two only the later is true.
        mailbox.put(`room ${cue.chatroomId}`, cue);
        // A message that opens a room is also unread.
        if (cue.kind === 'APPEARED') mailbox.put(`unread ${cue.chatroomId}`, { ...cue, kind: 'UNREAD' });
        return;
      case 'UNREAD':
        mailbox.put(`unread ${cue.chatroomId}`, cue);
        return;
      case 'FRIENDSHIP':
        mailbox.put(`friend ${cue.userId}`, cue);
        return;
      case 'NOTICE':
        notices += 1;
        mailbox.put(`notice ${notices % MOST_NOTICES}`, cue);
    }
  }

  async function read(cue: Cue): Promise<ViewerEvent | null> {
    switch (cue.kind) {
      case 'APPEARED':
      case 'UNREAD': {
        const chatroom = await chatroomById(freshContext(context), cue.chatroomId);
        // Lost since; or a direct room of which nothing is to be seen before its first message.
        if (!chatroom?.viewerRole || chatroom.isHidden) return null;
        return cue.kind === 'APPEARED' ? { kind: 'ChatroomAppeared', chatroom } : { kind: 'UnreadChanged', chatroom };
      }
      case 'VANISHED':
        return { kind: 'ChatroomVanished', chatroomId: cue.chatroomId, reason: cue.reason };
      case 'FRIENDSHIP':
        return { kind: 'FriendshipChanged', userId: cue.userId, status: cue.status };
      case 'NOTICE':
        return { kind: 'SystemNotice', body: cue.body, sentAt: new Date(cue.sentAt) };
    }
  }

  const onHint = (hint: Hint) => {
    if (hint.kind === 'HIDDEN') tell({ kind: 'VANISHED', chatroomId: hint.chatroomId, reason: 'HIDDEN' });
    else if (hint.kind !== 'PRESENCE' && hint.kind !== 'SEEN') tell(hint);
  };

  const mailbox = createMailbox(context.open, read);
  return mailbox.connect(async () => {
    const rooms = await followAllRooms(context, null);
    mailbox.onReturn(() => void rooms.return?.());
    mailbox.onReturn(await hear(context.bus, userId, onHint));
    const watch = async () => {
      for await (const { event } of rooms) {
        const cue = await cueOf(event);
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
