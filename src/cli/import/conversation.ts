import { checkPassword, type Passwords } from '../../auth/passwordHashing.ts';
import type { ImportContext, ImportSummary } from './importing.ts';
import {
  markAllRead,
  markSeen,
  storeChatroom,
  type StoredChatroom,
  storeMessages,
  type StoredMessage,
} from './bulkInsert.ts';

/**
 * Hashes a password. If the password breaks the rules, counts it as skipped and returns null. The user then cannot sign
 * in.
 */
export async function usablePassword(
  passwords: Passwords,
  password: string,
  skipped: Record<string, number>,
): Promise<string | null> {
  try {
    checkPassword(password, 'password');
  } catch {
    skip(skipped, 'an invalid password: its user cannot sign in');
    return null;
  }
  return passwords.hash(password);
}

/**
 * Stores a room and its messages in the order of their dates. Adds the counts to `summary`. Skips a room without
 * members.
 */
export async function storeConversation(
  { database, progress }: ImportContext,
  room: Omit<StoredChatroom, 'createdAt'>,
  messages: readonly StoredMessage[],
  summary: ImportSummary,
  /** Messages that users have seen. If omitted, all messages of a new room are marked as read by all members. */
  seen?: readonly { userId: string; clientMessageId: string }[],
): Promise<void> {
  const dated = createDateCorrection(summary.changed);
  const sent = messages
    .map((message) => ({ ...message, createdAt: dated(message.createdAt) }))
    .toSorted((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
  progress.advance(1);
  if (room.memberIds.length === 0) {
    skip(summary.skipped, 'a chatroom without members');
    return;
  }
  const { id, added } = await storeChatroom(database, { ...room, createdAt: sent[0]?.createdAt ?? new Date(0) });
  summary.chatrooms += Number(added);
  summary.messages += await storeMessages(database, id, sent);
  if (seen) await markSeen(database, id, seen);
  else if (added) await markAllRead(database, id);
}

/** Replaces invalid dates, and dates before the year 1, because the API cannot format them. */
const EPOCH = new Date(0);

/**
 * Returns a function that replaces future dates by now and unreadable dates by 1970. Counts each replacement in
 * `changed`.
 *
 * A message with a future date would stay the newest in lists and searches until that date.
 */
export function createDateCorrection(changed: Record<string, number>): (date: Date) => Date {
  const now = new Date();
  return (date) => {
    if (!(date.getUTCFullYear() > 0)) {
      skip(changed, 'a date that cannot be read: set to 1970');
      return EPOCH;
    }
    if (date <= now) return date;
    skip(changed, 'a date in the future: set to now');
    return now;
  };
}

/** Counts one skipped or changed item under its reason. */
export function skip(skipped: Record<string, number>, reason: string): void {
  skipped[reason] = (skipped[reason] ?? 0) + 1;
}
