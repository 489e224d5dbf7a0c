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
export async function hashImportedPassword(
  passwords: Passwords,
  password: string,
  skipped: Record<string, number>,
): Promise<string | null> {
  try {
    checkPassword(password, 'password');
  } catch {
    countReason(skipped, 'an invalid password: its user cannot sign in');
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
  const correctDate = createDateCorrection(summary.changed);
  const sent = messages
    .map((message) => ({ ...message, createdAt: correctDate(message.createdAt) }))
    .toSorted((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
  progress.advance(1);
  if (room.memberIds.length === 0) {
    countReason(summary.skipped, 'a chatroom without members');
    return;
  }
  const { id, added } = await storeChatroom(database, { ...room, createdAt: sent[0]?.createdAt ?? FALLBACK_DATE });
  summary.chatrooms += Number(added);
  summary.messages += await storeMessages(database, id, sent);
  if (seen) await markSeen(database, id, seen);
  else if (added) await markAllRead(database, id);
}

/** Replaces invalid dates, and dates before the year 1, because the API cannot format them. */
const FALLBACK_DATE = new Date(0);

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
      countReason(changed, 'a date that cannot be read: set to 1970');
      return FALLBACK_DATE;
    }
    if (date <= now) return date;
    countReason(changed, 'a date in the future: set to now');
    return now;
  };
}

/** Counts one skipped or changed item under its reason. */
export function countReason(counts: Record<string, number>, reason: string): void {
  counts[reason] = (counts[reason] ?? 0) + 1;
}
