import { z } from 'zod';
import { blockStateOf } from '../blocks/blocks.ts';
import { memberByKey, memberKey, requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import type { User } from '../database/generated/client.ts';
import { watchMembership } from '../events/events.ts';
import { createMailbox } from '../realtime/mailbox.ts';
import { userById } from '../users/users.ts';

/** Whoever does not say again that they are typing has stopped. */
const TYPING_MS = 10_000;

/** A member has begun or stopped to type. */
export interface TypingChange {
  chatroom: VisibleChatroom;
  user: User;
  typing: boolean;
}

/** What is told over the bus: nothing of it is stored. */
const saidSchema = z.object({ userId: z.uuid(), typing: z.boolean() });
type Said = z.infer<typeof saidSchema>;

/**
 * Tells the other members that the viewer types, or has stopped. It is told to those who listen now, and runs out after
 * 10 s unless it is said again.
 *
 * @throws ChatError `NOT_FOUND` for who is no member
 */
export async function setTyping(context: Context, chatroomId: string | null, typing: boolean): Promise<void> {
  const { userId } = requireViewer(context);
  const { id } = await requireMembership(context, chatroomId);
  context.bus.publish(topic(id), { userId, typing } satisfies Said);
}

/**
 * Who types in a room, of the other members that no block parts from the viewer. Ends with `NOT_FOUND` when the viewer
 * loses the room.
 *
 * @throws ChatError `NOT_FOUND` for who is no member
 */
export async function followTyping(
  context: Context,
  chatroomId: string | null,
): Promise<AsyncIterableIterator<TypingChange>> {
  const room = await requireMembership(context, chatroomId);
  const { userId: viewerId } = requireViewer(context);
  const typing = new Map<string, NodeJS.Timeout>();
  const told = new Map<string, boolean>();

  async function read(said: Said): Promise<TypingChange | null> {
    // Who stopped and went on before it was read has not changed.
    if ((told.get(said.userId) ?? false) === said.typing) return null;
    const now = freshContext(context);
    const chatroom = await requireMembership(now, room.id);
    const [user, member, block] = await Promise.all([
      userById(now, said.userId),
      memberByKey(now, memberKey({ chatroomId: room.id, userId: said.userId })),
      blockStateOf(now, said.userId),
    ]);
    // Who is gone or blocked by now does not begin to type; but whoever was seen to is seen to stop.
    if (!user || (said.typing && (!member || block?.either))) return null;
    told.set(said.userId, said.typing);
    return { chatroom, user, typing: said.typing };
  }

  function tell(said: Said): void {
    const wasTyping = typing.get(said.userId);
    if (wasTyping) clearTimeout(wasTyping);
    typing.delete(said.userId);
    if (said.typing) {
      const stop = () => {
        tell({ ...said, typing: false });
      };
      typing.set(said.userId, setTimeout(stop, TYPING_MS).unref());
    }
    // Saying the same again only keeps it from running out.
    if (said.typing !== (wasTyping !== undefined)) mailbox.put(said.userId, said);
  }

  const mailbox = createMailbox(context.open, read);
  mailbox.onReturn(() => {
    for (const timer of typing.values()) clearTimeout(timer);
    typing.clear();
  });
  return mailbox.connect(async () => {
    mailbox.onReturn(
      await context.bus.listen(topic(room.id), (what) => {
        const { data } = saidSchema.safeParse(what);
        if (data && data.userId !== viewerId) tell(data);
      }),
    );
    mailbox.onReturn(watchMembership(context, room, mailbox.fail));
  });
}

function topic(chatroomId: string): string {
  return `typing:${chatroomId}`;
}
