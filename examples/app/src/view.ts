import type { OutboxEntry } from '@parley/client';
import type { MessageRowFragment, RoomRowFragment } from './generated/graphql.ts';

/** Functions for the files of messages. */
interface Files {
  send: (file: File) => void;
  show: (message: MessageRowFragment) => HTMLElement[];
}

/** Creates the elements of the page: the rooms, the messages of the open room, a text field, and a field for files. */
export function createView(
  open: (room: string) => void,
  write: (body: string) => void,
  type: (body: string) => void,
  files: Files,
) {
  const [title, rooms, messages, typing, input, picker, progress] = [
    document.createElement('h1'),
    document.createElement('nav'),
    document.createElement('ol'),
    document.createElement('p'),
    document.createElement('input'),
    document.createElement('input'),
    document.createElement('output'),
  ];
  input.placeholder = 'Message';
  input.addEventListener('change', () => {
    const body = input.value.trim();
    input.value = '';
    if (body) write(body);
  });
  input.addEventListener('input', () => {
    type(input.value.trim());
  });
  picker.type = 'file';
  picker.addEventListener('change', () => {
    const [file] = picker.files ?? [];
    if (file) files.send(file);
    // The same file can then be chosen again.
    picker.value = '';
  });
  document.body.append(title, rooms, messages, typing, input, picker, progress);
  return {
    showRooms(list: RoomRowFragment[], unreadCount: number) {
      title.textContent = `Rooms (${unreadCount} unread)`;
      const buttons = list.map((room) => {
        const button = document.createElement('button');
        button.textContent = `${room.title ?? 'Nobody else is here'} ${room.unreadCount || ''}`.trim();
        button.addEventListener('click', () => {
          open(room.id);
        });
        return button;
      });
      rooms.replaceChildren(...buttons);
    },
    showTyping(names: string[]) {
      typing.textContent = names.length > 0 ? `Typing: ${names.join(', ')}` : '';
    },
    showProgress(text: string) {
      progress.textContent = text;
    },
    showMessages(list: MessageRowFragment[], pending: readonly OutboxEntry[]) {
      const items = [
        ...list.map((message) => [lineOf(message), ...files.show(message)]),
        ...pending.map(({ body, error }) => [`${body || 'File'} (${error?.message ?? 'sending'})`]),
      ].map((contents) => {
        const item = document.createElement('li');
        item.append(...contents);
        return item;
      });
      messages.replaceChildren(...items);
    },
  };
}

function lineOf({ sender, body, editedAt, deletedAt, reactions }: MessageRowFragment): string {
  const text = deletedAt ? 'Message deleted' : (body ?? '');
  const marks = [editedAt && !deletedAt ? '(edited)' : '', ...reactions.map(({ emoji, count }) => `${emoji} ${count}`)];
  return [`${sender?.username ?? ''}: ${text}`, ...marks.filter(Boolean)].join(' ');
}

/** Minimum time between two `markRead` requests, which limits the requests in a busy room. */
const MARK_INTERVAL_MS = 1_000;

/**
 * Returns a function that marks the newest stored message as read while the page is visible, at most once per second.
 */
export function createReadMarker(mark: (message: string) => Promise<void>) {
  let newest: string | undefined;
  let marked: string | undefined;
  let isWaiting = false;
  function next(): void {
    if (isWaiting || newest === undefined || newest === marked) return;
    if (document.visibilityState !== 'visible') return;
    isWaiting = true;
    marked = newest;
    const pause = new Promise((resolve) => setTimeout(resolve, MARK_INTERVAL_MS));
    void Promise.all([mark(newest).catch(console.error), pause]).then(() => {
      isWaiting = false;
      next();
    });
  }
  document.addEventListener('visibilitychange', next);
  return (messages: readonly MessageRowFragment[]) => {
    newest = messages.findLast(({ id, clientMessageId }) => id !== clientMessageId)?.id ?? newest;
    next();
  };
}
