import { isConnected } from '../socket.ts';
import { useCallback, useSyncExternalStore } from 'react';
import type { Failure } from '../errors.ts';
import { abortable, type Chat, query } from './chat.ts';
import { type Documents, documentsOf, type MarkedMember, type Selections } from './documents.ts';
import { keepOpen, type Progress } from './keepOpen.ts';
import { createNodeList } from './nodeList.ts';
import { useChat } from './provider.ts';
import { repeatable } from './repeat.ts';
import { createStore, type Store } from './store.ts';
import type * as Default from './types.ts';
import { mayChangeBlocks } from './viewerEvents.ts';

export interface ReadMark<User> {
  user: User & { id: string };
  /** Number of the last message that the user has read; 0 for none. */
  lastReadNumber: number;
}

export interface ReadMarksState<User> {
  /**
   * Read marks of the other members. Empty if the room has more than 100 members, because the server then sends no
   * marks.
   */
  marks: readonly ReadMark<User>[];
  loading: boolean;
  /** Error that prevents the marks from being shown or updated. */
  error: Failure | null;
}

export interface ReadMarksResult<User> extends ReadMarksState<User> {
  /** Returns the other members who have read the message with this number. */
  readersOf: (number: number) => (User & { id: string })[];
}

/** The server sends read marks only in rooms with at most this number of members. */
const MAX_MEMBERS = 100;

/**
 * Returns the read marks of the other members of a room, kept up to date, for example to show "Read by 3 of 5". One
 * query and one stream serve all messages. Blocked members are left out. The list follows members who join or leave
 * only while `useRoom` is used for the same room.
 */
export function useReadMarks<User = Default.User>(
  chatroomId: string,
  selections: Pick<Selections<unknown, unknown, User>, 'user'> = {},
): ReadMarksResult<User> {
  const chat = useChat();
  const documents = documentsOf<Default.Message, Default.Room, User>(selections);
  const store = chat.store(`readMarks ${chatroomId} ${documents.key}`, () =>
    createReadMarks(chat, documents, chatroomId),
  );
  const state = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
  const { marks } = state;
  const readersOf = useCallback(
    (number: number) => marks.filter(({ lastReadNumber }) => lastReadNumber >= number).map(({ user }) => user),
    [marks],
  );
  return { ...state, readersOf };
}

/** Creates the store of a room's read marks. The store stays up to date while it has subscribers. */
export function createReadMarks<User>(
  shared: Chat,
  documents: Documents<any, any, User>,
  chatroomId: string,
): Store<ReadMarksState<User>> {
  const { chat, abort } = abortable(shared);
  const { cache } = chat;
  const initial: ReadMarksState<User> = { marks: [], loading: true, error: null };
  return createStore(initial, (set) => {
    /**
     * Highest known `lastReadNumber`, by membership id. A response may be older than an event that arrived before it.
     */
    const highest = new Map<string, number>();
    const members = createNodeList<MarkedMember<User>>(chat, documents.members, publish);
    let memberCount: number | null = null;
    let ownId: string | undefined;
    let unfollow: (() => void) | null = null;

    async function loadMembers(isStopped: () => boolean): Promise<void> {
      const [{ viewer, chatroom }, replay] = await chat.arrivals.during(() =>
        query(chat, documents.readMarks, { chatroomId }),
      );
      if (isStopped()) return;
      unfollow ??= chat.viewerEvents.follow(documents, viewer?.cursor ?? '');
      if (!chatroom?.members) {
        set({ loading: false });
        return;
      }
      const { nodes } = chatroom.members;
      ({ memberCount } = chatroom);
      ownId = chatroom.viewerMembership?.id;
      cache.write(documents.memberCount, { chatroomId }, { chatroom });
      cache.write(documents.members, { ids: nodes.map(({ id }) => id) }, { nodes });
      replay();
      members.replace(nodes);
      publish();
    }
    function publish(): void {
      if (memberCount === null) return;
      const others = members.nodes.filter(({ id, user }) => id !== ownId && !user.viewerHasBlocked);
      const marks = others.map(({ id, user, lastReadNumber }) => {
        highest.set(id, Math.max(highest.get(id) ?? 0, lastReadNumber));
        return { user, lastReadNumber: highest.get(id) ?? 0 };
      });
      set({ marks: memberCount > MAX_MEMBERS ? [] : marks, loading: false });
    }

    let load: () => void = () => undefined;
    function open({ onLoaded, onError }: Progress): () => void {
      let stopped = false;
      load = repeatable(async () => {
        if (!stopped) await loadMembers(() => stopped).then(onLoaded, onError);
      });
      // The server does not replay `readMarksChanged` events, so the marks are loaded after each start of the stream.
      const unsubscribe = cache.subscribe(
        documents.readMarksChanged,
        { chatroomId },
        { onEvents: () => undefined, onStarted: load, onError },
      );
      // Does not wait for a socket that may never open.
      if (!isConnected(chat.client.state)) load();
      return () => {
        stopped = true;
        unsubscribe();
      };
    }
    const kept = keepOpen(chat.client, set, open);
    const stops = [
      kept.close,
      cache.watch(documents.memberCount, { chatroomId }, (data) => {
        // `readMarksChanged` does not report members who join or leave, so a changed count reloads the list.
        if (memberCount !== null && data?.chatroom && data.chatroom.memberCount !== memberCount) load();
      }),
      chat.viewerEvents.listen((event) => {
        // The server sends no marks of blocked members, so the marks are loaded again after an unblock.
        const isAdded = event.__typename === 'ChatroomAppeared' && event.chatroom.id === chatroomId;
        if (isAdded || event.__typename === 'EventsMissed') kept.reopen();
        else if (mayChangeBlocks(event)) load();
      }),
    ];
    return () => {
      unfollow?.();
      for (const stop of stops) stop();
      abort();
      members.clear();
    };
  });
}
