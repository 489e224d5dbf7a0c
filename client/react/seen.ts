import { type Chat, load } from './chat.ts';
import type { MessageKey } from './documents.ts';
import type { RoomTarget } from './history.ts';
import { repeatable } from './repeat.ts';
import type { RoomMessages } from './roomMessages.ts';

/** Maximum number of messages whose `seenByAll` is loaded at once. The server returns at most 100 objects by their ids. */
const MAX_LOADED = 100;

/**
 * Keeps `seenByAll` of the messages of a room up to date. An event contains only the latest message that everybody has
 * read, so `seenByAll` of the other messages is loaded. Returns a function that unsubscribes.
 */
export function followSeen<Message, Room>(
  chat: Chat,
  { documents, chatroomId }: RoomTarget<Message, Room, any>,
  messages: Pick<RoomMessages<Message, Room>, 'shown' | 'newest'>,
  onError: (error: unknown) => void,
): () => void {
  async function loadSeen(): Promise<void> {
    const nodes: readonly (MessageKey & { seenByAll?: boolean })[] = [
      ...messages.shown.nodes,
      ...messages.newest.nodes,
    ];
    const ids = new Set(nodes.filter(({ seenByAll }) => seenByAll === false).map(({ id }) => id));
    if (ids.size > 0) await load(chat, documents.seenMessages, { ids: [...ids].slice(-MAX_LOADED) });
  }
  const update = repeatable(() => loadSeen().catch(onError));
  // The server does not replay `messageSeen` events, so the current state is loaded after each start.
  return chat.cache.subscribe(documents.seen, { chatroomId }, { onStarted: update, onEvents: update, onError });
}
