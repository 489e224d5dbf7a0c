import { z } from 'zod';
import type { ImportContext, ImportSummary } from './importing.ts';
import { countReason, hashImportedPassword, storeConversation } from './conversation.ts';
import { storeUsers } from './bulkInsert.ts';
import { derivedId } from '../../core/globalIds.ts';

const SOURCE = 'my_messenger';
const PRIVATE = 0;

const MyMessenger = z.object({
  users: z.array(z.object({ id: z.string(), name: z.string(), email: z.string(), password: z.string() })),
  chats: z.array(z.object({ id: z.string(), name: z.string(), type: z.number() })),
  chat_members: z.array(z.object({ user_id: z.string(), chat_id: z.string() })),
  groups: z.array(z.object({ name: z.string(), creator_id: z.string(), chat_id: z.string() })),
  messages: z.array(
    z.object({ id: z.string(), sender_id: z.string(), chat_id: z.string(), timestamp: z.string(), text: z.string() }),
  ),
  message_seen_status: z.array(z.object({ message_id: z.string(), user_id: z.string() })),
});

/** Returns true if the data has the format of the demo data of my_messenger. */
export function isMyMessenger(data: unknown): data is z.infer<typeof MyMessenger> {
  return MyMessenger.safeParse(data).success;
}

/** Imports users with e-mail addresses, private and group chats, messages, and read marks. */
export async function importMyMessenger(
  importing: ImportContext,
  data: z.infer<typeof MyMessenger>,
): Promise<ImportSummary> {
  const skipped: Record<string, number> = {};
  const userId = (id: string) => derivedId(SOURCE, `user ${id}`);
  const users = await storeUsers(
    importing.database,
    await Promise.all(
      data.users.map(async (user) => ({
        id: userId(user.id),
        name: user.name,
        suffix: 'messenger',
        nickname: user.name,
        email: user.email,
        passwordHash: await hashImportedPassword(importing.passwords, user.password, skipped),
      })),
    ),
  );
  const summary: ImportSummary = { users, chatrooms: 0, messages: 0, skipped, changed: {} };
  importing.progress.start('Chatrooms', data.chats.length);
  for (const chat of data.chats) {
    const group = data.groups.find(({ chat_id }) => chat_id === chat.id);
    const members = data.chat_members.filter(({ chat_id }) => chat_id === chat.id).map(({ user_id }) => user_id);
    // Sorts the creator to the front, because the first member becomes the owner.
    members.sort((a, b) => Number(b === group?.creator_id) - Number(a === group?.creator_id));
    const direct = chat.type === PRIVATE && members.length === 2;
    if (chat.type === PRIVATE && !direct)
      countReason(summary.changed, 'a private chat without exactly two members: stored as a group');
    const sent = data.messages
      .filter(({ chat_id }) => chat_id === chat.id)
      .map((message) => ({
        senderId: userId(message.sender_id),
        body: message.text,
        createdAt: new Date(message.timestamp),
        clientMessageId: message.id,
      }));
    await storeConversation(
      importing,
      {
        id: derivedId(SOURCE, `chat ${chat.id}`),
        kind: direct ? 'DIRECT' : 'GROUP',
        name: direct ? null : (group?.name ?? chat.name),
        memberIds: members.map(userId),
      },
      sent,
      summary,
      data.message_seen_status.map((seen) => ({ userId: userId(seen.user_id), clientMessageId: seen.message_id })),
    );
  }
  importing.progress.done();
  return summary;
}
