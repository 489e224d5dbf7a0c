import type { Chat } from './chat.ts';
import type { RoomEvent } from './documents.ts';
import { queryRoom, type RoomSnapshot, type RoomTarget } from './history.ts';
import { mayChangeBlocks } from './viewerEvents.ts';

interface Handlers<Message, Room> {
  /**
   * Called when the room has been loaded: at the beginning, and again if missed events cannot be replayed. Write the
   * room to the cache, then call `replay` to write the events that arrived meanwhile.
   */
  onOpen: (snapshot: RoomSnapshot<Message, Room>, replay: () => void) => void;
  onEvents: (events: RoomEvent<Message>[]) => void;
  /** Called once if the room cannot be loaded, or if the stream of its events has ended. */
  onError: (error: unknown) => void;
}

/**
 * Loads a room with its newest messages, then subscribes to the events after its cursor. Returns a function that stops
 * loading and unsubscribes.
 */
export function openRoom<Message, Room>(
  chat: Chat,
  target: RoomTarget<Message, Room, any>,
  { onOpen, onEvents, onError }: Handlers<Message, Room>,
): () => void {
  const { documents, chatroomId } = target;
  let stopped = false;
  let unsubscribe: (() => void) | undefined;
  /** Number of events that may change blocks. If it changes during the query of the room, the query is repeated. */
  let blocks = 0;
  const unlisten = chat.viewerEvents.listen((event) => {
    if (mayChangeBlocks(event)) blocks += 1;
  });
  async function open(): Promise<string> {
    let snapshot: RoomSnapshot<Message, Room>;
    let replay: () => void;
    let block: number;
    do {
      block = blocks;
      [snapshot, replay] = await chat.arrivals.during(() => queryRoom(chat, target));
    } while (block !== blocks && !stopped);
    if (!stopped) onOpen(snapshot, replay);
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
    unlisten();
  };
}
