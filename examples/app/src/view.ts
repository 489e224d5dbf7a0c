import type { OutboxEntry } from '@parley/client';
import type { MessageRowFragment, RoomRowFragment } from './generated/graphql.ts';

/** Creates the elements of the page: the rooms, the messages of the open room, and a text field. */
export function createView(open: (room: string) => void, write: (body: string) => void) {
  const [title, rooms, messages, input] = [
    document.createElement('h1'),
    document.createElement('nav'),
    document.createElement('ol'),
    document.createElement('input'),
  ];
  input.placeholder = 'Message';
  input.addEventListener('change', () => {
    const body = input.value.trim();
    input.value = '';
    if (body) write(body);
  });
  document.body.append(title, rooms, messages, input);
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
    showMessages(list: MessageRowFragment[], pending: OutboxEntry[]) {
      const lines = [
        ...list.map(lineOf),
        ...pending.map(({ body, error }) => `${body} (${error?.message ?? 'sending'})`),
      ];
      const items = lines.map((line) => {
        const item = document.createElement('li');
        item.textContent = line;
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

/**
 * Returns a function that marks the newest stored message as read, when the page is visible. Runs one request at a time,
 * because a request for each message would delay sends.
 */
export function createReadMarker(mark: (message: string) => Promise<void>) {
  let newest: string | undefined;
  let marking: string | undefined;
  async function run(): Promise<void> {
    while (newest !== undefined && newest !== marking) {
      marking = newest;
      await mark(marking);
    }
  }
  let running: Promise<void> | null = null;
  const start = () => {
    if (document.visibilityState !== 'visible') return;
    running ??= run()
      .catch(console.error)
      .finally(() => {
        running = null;
      });
  };
  document.addEventListener('visibilitychange', start);
  return (messages: readonly MessageRowFragment[]) => {
    newest = messages.findLast(({ id, clientMessageId }) => id !== clientMessageId)?.id ?? newest;
    start();
  };
}
