import type { Chat } from './chat.ts';
import type { RoomEvent } from './documents.ts';
import { queryRoom, type RoomSnapshot, type RoomTarget } from './history.ts';

interface Handlers<Message, Room> {
  /** Called when the room has been loaded: at the beginning, and again if missed events cannot be replayed. */
  onOpen: (snapshot: RoomSnapshot<Message, Room>) => void;
  onEvents: (events: RoomEvent<Message>[]) => void;
  /** Called once if the room cannot be loaded, or if the stream of its events has ended. */
  onError: (error: unknown) => void;
}

/**
 * Loads a room with its newest messages, then subscribes to the events after its cursor. Returns a function that stops
 * both.
 */
export function openRoom<Message, Room>(
  chat: Chat,
  target: RoomTarget<Message, Room, any>,
  { onOpen, onEvents, onError }: Handlers<Message, Room>,
): () => void {
  const { documents, chatroomId } = target;
  let stopped = false;
  let unsubscribe: (() => void) | undefined;
  async function open(): Promise<string> {
    const snapshot = await queryRoom(chat, target);
    if (!stopped) onOpen(snapshot);
    return snapshot.room.cursor;
  }
  async function run(): Promise<void> {
    const after = await open();
    if (stopped) return;
    unsubscribe = chat.cache.subscribe(
      documents.roomEvents,
      { chatroomId, after },
      {
        onResync: open,
        onEvents(events) {
          onEvents(events.flatMap(({ chatroomEvents }) => chatroomEvents ?? []));
        },
        onError,
      },
    );
  }
  run().catch((error: unknown) => {
    if (!stopped) onError(error);
  });
  return () => {
    stopped = true;
    unsubscribe?.();
  };
}
