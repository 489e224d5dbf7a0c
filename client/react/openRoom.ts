import type { Chat } from './chat.ts';
import type { RoomEvent } from './documents.ts';
import { type RoomSnapshot, type RoomTarget, snapshotOf } from './history.ts';

/** An event of an open room, other than a snapshot. */
export type OpenRoomEvent<Message, Room> = Exclude<RoomEvent<Message, Room>, { __typename: 'RoomSnapshot' }>;

interface Handlers<Message, Room> {
  /**
   * Called with a snapshot of the room: at the beginning, and again with `isResync` if the events do not lead to the
   * current state. Write the room to the cache, then call `replay` to write the events that arrived with the snapshot.
   */
  onOpen: (snapshot: RoomSnapshot<Message, Room>, isResync: boolean, replay: () => void) => void;
  onEvents: (events: OpenRoomEvent<Message, Room>[]) => void;
  /** Called when the stream has reconnected. Blocks of the meantime are reported by the viewer's events only. */
  onResumed: () => void;
  /** Called once if the room cannot be opened, or if the stream of its events has ended. */
  onError: (error: unknown) => void;
}

/**
 * Opens a room with one subscription: a snapshot with the newest messages, then all later events. Returns a function that
 * unsubscribes.
 */
export function openRoom<Message, Room>(
  chat: Chat,
  { documents, chatroomId, pageSize }: RoomTarget<Message, Room, any>,
  { onOpen, onEvents, onResumed, onError }: Handlers<Message, Room>,
): () => void {
  return chat.cache.subscribe(
    documents.roomEvents,
    { chatroomId, last: pageSize },
    {
      onEvents(events, write) {
        let others: OpenRoomEvent<Message, Room>[] = [];
        for (const { chatroomEvents: event } of events) {
          if (event?.__typename === 'RoomSnapshot') {
            if (others.length > 0) onEvents(others);
            others = [];
            onOpen(snapshotOf(event.chatroom), event.reason === 'RESYNC', write);
          } else if (event) others.push(event);
        }
        if (others.length > 0) onEvents(others);
      },
      onResumed,
      onError,
    },
  );
}
