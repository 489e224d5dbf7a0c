import type { Friend, Message, Person, Room } from './types.ts';

/** How the page words what the server only names. English; another language is another file like this. */

const DELETED_ACCOUNT = 'A deleted account';

export function nameOf(person: Pick<Person, 'nickname'> | null | undefined): string {
  return person?.nickname ?? DELETED_ACCOUNT;
}

export function titleOf(room: {
  kind: Room['kind'];
  name?: string | null;
  opponent?: Pick<Person, 'nickname'> | null;
}) {
  return room.kind === 'DIRECT' ? nameOf(room.opponent) : (room.name ?? 'A group without a name');
}

export function wordMembers(count: number): string {
  return count === 1 ? '1 member' : `${count.toLocaleString('en')} members`;
}

export function wordSystem({ systemEvent, subject, body }: Pick<Message, 'systemEvent' | 'subject' | 'body'>): string {
  switch (systemEvent) {
    case 'MEMBER_JOINED':
      return `${nameOf(subject)} joined`;
    case 'MEMBER_LEFT':
      return `${nameOf(subject)} left`;
    case 'RENAMED':
      return `${nameOf(subject)} renamed the room`;
    case 'NOTICE':
      return body ?? '';
    default:
      // A server that is newer than this page.
      return 'Something happened here';
  }
}

/** What a list shows of a room's last message: who said it, if anyone, and what. Each may run in its own direction. */
export function preview(message: Room['lastMessage'], viewerId: string): { who: string | null; what: string } {
  if (!message) return { who: null, what: 'No messages yet' };
  if (message.kind === 'SYSTEM') return { who: null, what: wordSystem(message) };
  const who = message.sender?.id === viewerId ? 'You' : nameOf(message.sender);
  const [line = ''] = (message.body ?? '').trim().split('\n', 1);
  return { who, what: message.deletedAt ? 'message deleted' : line };
}

export function wordPresence({ presence, isBot }: Pick<Friend, 'presence' | 'isBot'>, now = new Date()): string {
  if (isBot) return 'Bot';
  if (!presence) return '';
  if (presence.status === 'ONLINE') return 'Online';
  return presence.lastSeenAt ? `Last seen ${wordWhen(presence.lastSeenAt, now)}` : 'Offline';
}

export function wordTyping(people: readonly Person[]): string {
  const [first, second] = people;
  if (!first) return '';
  if (!second) return `${nameOf(first)} is typing…`;
  return people.length === 2 ? `${nameOf(first)} and ${nameOf(second)} are typing…` : 'Several people are typing…';
}

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const shortDay = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' });
const longDay = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' });
const longDayAndYear = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'long', year: 'numeric' });

export const wordTime = (date: string) => clock.format(new Date(date));

/** The time for today, the day for any other. */
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
