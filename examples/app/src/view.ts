import type { OutboxEntry } from '@parley/client';
import type { ImageRowFragment, MessageRowFragment, RoomRowFragment } from './generated/graphql.ts';

/** Functions for files, avatars and link previews. */
interface Media {
  sendFile: (file: File) => void;
  setAvatar: (picture: File) => void;
  setRoomAvatar: (picture: File) => void;
  /** Creates the elements of the files and link previews of a message. */
  show: (message: MessageRowFragment) => HTMLElement[];
  showAvatar: (avatar: ImageRowFragment | null | undefined) => HTMLElement;
}

/** Creates the elements of the page: the rooms, the messages of the open room, a text field, and fields for files. */
export function createView(
  open: (room: string) => void,
  write: (body: string) => void,
  type: (body: string) => void,
  media: Media,
) {
  const [title, rooms, messages, typing, input, progress] = [
    document.createElement('h1'),
    document.createElement('nav'),
    document.createElement('ol'),
    document.createElement('p'),
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
  const pickers = [
    createPicker('File', media.sendFile),
    createPicker('My avatar', media.setAvatar),
    createPicker('Avatar of the room', media.setRoomAvatar),
  ];
  document.body.append(title, rooms, messages, typing, input, ...pickers, progress);
  return {
    showRooms(list: RoomRowFragment[], unreadCount: number) {
      title.textContent = `Rooms (${unreadCount} unread)`;
      const buttons = list.map((room) => {
        const button = document.createElement('button');
        const label = `${room.title ?? 'Nobody else is here'} ${room.unreadCount || ''}`.trim();
        // A DIRECT room has no avatar of its own.
        button.append(media.showAvatar(room.avatar ?? room.opponent?.avatar), label);
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
        ...list.map((message) => [media.showAvatar(message.sender?.avatar), lineOf(message), ...media.show(message)]),
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

/** Creates a field that passes each chosen file to a function. */
function createPicker(text: string, choose: (file: File) => void): HTMLElement {
  const [label, picker] = [document.createElement('label'), document.createElement('input')];
  picker.type = 'file';
  picker.addEventListener('change', () => {
    const [file] = picker.files ?? [];
    if (file) choose(file);
    // The same file can then be chosen again.
    picker.value = '';
  });
  label.append(text, picker);
  return label;
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
