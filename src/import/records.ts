import { checkPassword, type Passwords } from '../auth/passwords.ts';
import type { Importing, ImportSummary } from './import.ts';
import {
  markAllRead,
  markSeen,
  storeChatroom,
  type StoredChatroom,
  storeMessages,
  type StoredMessage,
} from './store.ts';

/** The hash of a password that keeps the rules; else none, and nobody can sign in by it. */
export async function usablePassword(
  passwords: Passwords,
  password: string,
  skipped: Record<string, number>,
): Promise<string | null> {
  try {
    checkPassword(password, 'password');
  } catch {
    skip(skipped, 'a password that is too short: its user cannot sign in');
    return null;
  }
  return passwords.hash(password);
}

/** Stores one room and what was said in it, by the time it was said. */
export async function storeConversation(
  { database, progress }: Importing,
  room: Omit<StoredChatroom, 'createdAt'>,
  messages: readonly StoredMessage[],
  summary: ImportSummary,
  /** Who has read what; without it, everyone has read everything. */
  seen?: readonly { userId: string; clientMessageId: string }[],
): Promise<void> {
  const dated = createDating(summary.changed);
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

/** Dates of sources that cannot be read or that the API could not print, such as those of the year -1. */
const EPOCH = new Date(0);

/**
 * Returns a function that sets a date of the future to now and one that cannot be read to 1970, and counts both. The server's
 * clock dates messages: one from the future would stay the newest in lists and searches until then.
 */
export function createDating(changed: Record<string, number>): (date: Date) => Date {
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

/** Counts what is left out or changed, and why. */
export function skip(skipped: Record<string, number>, reason: string): void {
  skipped[reason] = (skipped[reason] ?? 0) + 1;
}
