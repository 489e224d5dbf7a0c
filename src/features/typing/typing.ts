import { z } from 'zod';
import { blockStateOf } from '../relationships/blocks.ts';
import { memberByKey, memberKey, requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import type { User } from '../../platform/database/generated/client.ts';
import { watchMembership } from '../chatroomEvents/chatroomStream.ts';
import { createConflatedStream } from '../../delivery/conflatedStream.ts';
import { userById } from '../users/users.ts';

/** Time after which typing ends unless the client reports it again, in milliseconds. */
const TYPING_TIMEOUT_MS = 10_000;

/** A member has started or stopped typing. */
export interface TypingChange {
  chatroom: VisibleChatroom;
  user: User;
  typing: boolean;
}

/** Notification that is sent over the bus. The typing state is not stored anywhere. */
const typingSchema = z.object({ userId: z.uuid(), typing: z.boolean() });
type TypingNotification = z.infer<typeof typingSchema>;

/**
 * Notifies the other members that the viewer is typing or has stopped. Only open subscriptions receive the
 * notification. Typing expires after 10 s unless it is reported again.
 *
 * @throws ChatError `NOT_FOUND` if the viewer is not a member
 */
export async function setTyping(context: Context, chatroomId: string | null, typing: boolean): Promise<void> {
  const { userId } = requireViewer(context);
  const { id } = await requireMembership(context, chatroomId);
  context.bus.publish(topic(id), { userId, typing } satisfies TypingNotification);
}

/**
 * Sends an event when another member of a room starts or stops typing. Leaves out members whom the viewer has blocked,
 * and members who have blocked the viewer. Ends with `NOT_FOUND` when the viewer's membership ends.
 *
 * @throws ChatError `NOT_FOUND` if the viewer is not a member
 */
export async function followTyping(
  context: Context,
  chatroomId: string | null,
): Promise<AsyncIterableIterator<TypingChange>> {
  const room = await requireMembership(context, chatroomId);
  const { userId: viewerId } = requireViewer(context);
  /** Timeouts of the users who are typing. */
  const timeouts = new Map<string, NodeJS.Timeout>();
  /** Last state sent to the subscriber, by user. */
  const sent = new Map<string, boolean>();

  async function read({ userId, typing }: TypingNotification): Promise<TypingChange | null> {
    // Skips the event if the subscriber has already received this state. The user may have stopped and started again
    // before the subscriber read an event.
    if ((sent.get(userId) ?? false) === typing) return null;
    const now = eventContext(context);
    const chatroom = await requireMembership(now, room.id);
    const [user, member, block] = await Promise.all([
      userById(now, userId),
      memberByKey(now, memberKey({ chatroomId: room.id, userId })),
      blockStateOf(now, userId),
    ]);
    // Skips the start of typing by a former or blocked member. Always reports a stop, because the subscriber has
    // received the start.
    if (!user || (typing && (!member || block?.either))) return null;
    sent.set(userId, typing);
    return { chatroom, user, typing };
  }

  function report(change: TypingNotification): void {
    const { userId, typing } = change;
    const timeout = timeouts.get(userId);
    if (timeout) clearTimeout(timeout);
    timeouts.delete(userId);
    if (typing) {
      const stop = () => {
        report({ userId, typing: false });
      };
      timeouts.set(userId, setTimeout(stop, TYPING_TIMEOUT_MS).unref());
    }
    // If the state is unchanged, the report only restarts the timeout.
    if (typing !== (timeout !== undefined)) stream.set(userId, change);
  }

  const stream = createConflatedStream(context.gauges, read);
  stream.onClose(() => {
    for (const timeout of timeouts.values()) clearTimeout(timeout);
    timeouts.clear();
  });
  return stream.connect(async () => {
    stream.onClose(
      await context.bus.listen(topic(room.id), (payload) => {
        const { data } = typingSchema.safeParse(payload);
        if (data && data.userId !== viewerId) report(data);
      }),
    );
    stream.onClose(watchMembership(context, room, stream.error));
  });
}

function topic(chatroomId: string): string {
  return `typing:${chatroomId}`;
}
