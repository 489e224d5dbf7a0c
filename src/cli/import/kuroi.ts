import { z } from 'zod';
import type { ImportContext, ImportSummary } from './importing.ts';
import { hashImportedPassword, storeConversation } from './conversation.ts';
import { storeFriendships, storeUsers } from './bulkInsert.ts';
import { derivedId } from '../../core/globalIds.ts';

const SOURCE = 'kuroi';

const messageFields = { datetime: z.string(), sender_id: z.number(), message: z.string() };
const Kuroi = z.object({
  users: z.array(z.object({ id: z.number(), username: z.string(), password: z.string() })),
  friends: z.array(z.object({ user_id: z.number(), friend_id: z.number() })),
  messages: z.array(z.object({ ...messageFields, receiver_id: z.number() })),
  groups: z.array(z.object({ id: z.number(), name: z.string() })),
  groups_members: z.array(z.object({ group_id: z.number(), user_id: z.number() })),
  groups_messages: z.array(z.object({ ...messageFields, group_id: z.number() })),
});

/** Returns true if the data has the format of the demo data `kuroi`, which belongs to a chat tutorial. */
export function isKuroi(data: unknown): data is z.infer<typeof Kuroi> {
  return Kuroi.safeParse(data).success;
}

/** Imports users, friends, private messages and groups. Times have no time zone and are read as UTC. */
export async function importKuroi(importing: ImportContext, data: z.infer<typeof Kuroi>): Promise<ImportSummary> {
  const { database } = importing;
  const skipped: Record<string, number> = {};
  const userId = (id: number) => derivedId(SOURCE, `user ${id}`);
  const users = await storeUsers(
    database,
    await Promise.all(
      data.users.map(async (user) => ({
        id: userId(user.id),
        // A name in braces is a placeholder that readers of the tutorial replace. It is not a valid username.
        name: /^\{.*\}$/.test(user.username) ? `user${user.id}` : user.username,
        suffix: SOURCE,
        nickname: user.username,
        passwordHash: await hashImportedPassword(importing.passwords, user.password, skipped),
      })),
    ),
  );
  await storeFriendships(
    database,
    data.friends.map(({ user_id, friend_id }) => [userId(user_id), userId(friend_id)] as const),
  );

  const pairOf = (message: { sender_id: number; receiver_id: number }) =>
    [message.sender_id, message.receiver_id].sort().join(' ');
  const conversations = [
    ...[...new Set(data.messages.map(pairOf))].map((pair) => ({
      key: `direct ${pair}`,
      kind: 'DIRECT' as const,
      name: null,
      memberIds: pair.split(' ').map((id) => userId(Number(id))),
      messages: data.messages.filter((message) => pairOf(message) === pair),
    })),
    ...data.groups.map((group) => ({
      key: `group ${group.id}`,
      kind: 'GROUP' as const,
      name: group.name,
      memberIds: data.groups_members
        .filter((member) => member.group_id === group.id)
        .map((member) => userId(member.user_id)),
      messages: data.groups_messages.filter((message) => message.group_id === group.id),
    })),
  ];
  const summary: ImportSummary = { users, chatrooms: 0, messages: 0, skipped, changed: {} };
  importing.progress.start('Chatrooms', conversations.length);
  for (const { key, messages, ...room } of conversations) {
    const sent = messages.map(({ sender_id, datetime, message }, i) => ({
      senderId: userId(sender_id),
      body: message,
      createdAt: new Date(`${datetime}Z`),
      clientMessageId: `${SOURCE} ${key} ${i}`,
    }));
    await storeConversation(importing, { id: derivedId(SOURCE, key), ...room }, sent, summary);
  }
  importing.progress.done();
  return summary;
}
