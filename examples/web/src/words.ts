import type { Attachment, Friend, Message, Person, Room } from './types.ts';

/** English texts for values of the API. To translate the page, replace this file. */

const DELETED_ACCOUNT = 'A deleted account';

export function nameOf(person: Pick<Person, 'nickname'> | null | undefined): string {
  return person?.nickname ?? DELETED_ACCOUNT;
}

export function titleOf({ kind, title }: Pick<Room, 'kind' | 'title'>): string {
  return title ?? (kind === 'DIRECT' ? DELETED_ACCOUNT : 'Nobody else is here');
}

/** Returns the text that explains why a room has vanished. */
export function wordVanished(reason: string | null): string {
  switch (reason) {
    case 'REMOVED':
      return 'You were removed from this room.';
    case 'LEFT':
      return 'You have left this room.';
    case 'DELETED':
      return 'This room was deleted.';
    case 'HIDDEN':
      return 'This conversation is hidden until the next message.';
    default:
      return 'This room does not exist, or you are not a member of it.';
  }
}

/** Returns the name of a message's file, or the number of its files. */
export function wordFiles(files: readonly { fileName: string }[]): string {
  return files.length === 1 ? (files[0]?.fileName ?? '') : `${files.length} files`;
}

/** Returns the text of a message, or words for its files if it has no text. */
export function wordContent({ body, attachments }: Pick<Message, 'body'> & FileNames): string {
  return body || attachments.length === 0 ? (body ?? '') : wordFiles(attachments);
}

interface FileNames {
  attachments: readonly { fileName: string }[];
}

/** Returns the text for the uploader of a refused file. */
export function wordRejection(rejection: Attachment['rejection'] | undefined): string {
  switch (rejection) {
    case 'INFECTED':
      return 'A virus was found in this file. It was deleted.';
    case 'NOT_WHAT_IT_SAYS':
      return 'The content of this file does not fit its name. Rename it, or choose another file.';
    case 'TOO_LARGE':
      return 'This file is too large.';
    case 'UNREADABLE':
      return 'This file is damaged. Choose another one.';
    default:
      // A newer server may send reasons that this page does not know.
      return 'This file was refused.';
  }
}

const SIZES = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const;

/** Returns a number of bytes in words, such as "2.4 MB". */
export function wordSize(bytes: number): string {
  const place = Math.min(SIZES.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  // The short form of the unit is "byte", also for several bytes.
  const unitDisplay = place === 0 ? 'long' : 'short';
  const format = { style: 'unit', unit: SIZES[place], unitDisplay, maximumFractionDigits: place < 2 ? 0 : 1 } as const;
  return new Intl.NumberFormat('en', format).format(bytes / 1_000 ** place);
}

/** Returns a duration as on a clock, such as "1:05" or "1:00:05". */
export function wordDuration(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1_000));
  const twoDigits = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  return `${hours === 0 ? minutes : `${hours}:${twoDigits(minutes)}`}:${twoDigits(seconds % 60)}`;
}

export function wordMembers(count: number): string {
  return count === 1 ? '1 member' : `${count.toLocaleString('en')} members`;
}

export function wordPresence({ presence, isBot }: Pick<Friend, 'presence' | 'isBot'>, now = new Date()): string {
  if (isBot) return 'Bot';
  if (!presence) return '';
  if (presence.status === 'ONLINE') return 'Online';
  return presence.lastSeenAt ? `Last seen ${wordWhen(presence.lastSeenAt, now)}` : 'Offline';
}

/** Ordered by priority, because a user agent also contains the names of other browsers. */
const BROWSERS = [
  ['Edg', 'Edge'],
  ['OPR', 'Opera'],
  ['Firefox', 'Firefox'],
  ['Chrome', 'Chrome'],
  ['Safari', 'Safari'],
] as const;
const SYSTEMS = [
  ['Android', 'Android'],
  ['iPhone', 'an iPhone'],
  ['iPad', 'an iPad'],
  ['Windows', 'Windows'],
  ['Mac OS X', 'a Mac'],
  ['Linux', 'Linux'],
] as const;

/** Returns the browser and the system of a session, from its user agent. */
export function wordDevice(userAgent: string | null | undefined): string {
  const find = (words: typeof BROWSERS | typeof SYSTEMS) => words.find(([word]) => userAgent?.includes(word))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  if (!browser) return 'Another device';
  return system ? `${browser} on ${system}` : browser;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const shortDay = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' });
const longDay = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' });
const longDayAndYear = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'long', year: 'numeric' });

export const wordTime = (date: string) => clock.format(new Date(date));

/** Returns the time if the date is today, and the day otherwise. */
export function wordWhen(date: string, now = new Date()): string {
  const when = new Date(date);
  return when.toDateString() === now.toDateString() ? clock.format(when) : shortDay.format(when);
}

export function wordDay(date: string, now = new Date()): string {
  const when = new Date(date);
  const yesterday = new Date(now);
  yesterday.setDate(now.getDate() - 1);
  if (when.toDateString() === now.toDateString()) return 'Today';
  if (when.toDateString() === yesterday.toDateString()) return 'Yesterday';
  return (when.getFullYear() === now.getFullYear() ? longDay : longDayAndYear).format(when);
}
