import { isConnected } from '../socket.ts';
import { useSyncExternalStore } from 'react';
import type { Failure } from '../errors.ts';
import { abortable, type Chat, query } from './chat.ts';
import { type Documents, documentsOf, type Friend, type Selections } from './documents.ts';
import { keepOpen, type Progress } from './keepOpen.ts';
import { createNodeList } from './nodeList.ts';
import { useChat } from './provider.ts';
import { repeatable } from './repeat.ts';
import { createStore, type Store } from './store.ts';
import type * as Default from './types.ts';
import { mayChangeBlocks } from './viewerEvents.ts';

export interface PresenceState<User> {
  /** The viewer's friends, at most 100. */
  friends: readonly Friend<User>[];
  loading: boolean;
  error: Failure | null;
}

/**
 * Returns the viewer's friends with their presence, kept up to date. While a component uses this hook, the presence of
 * friends in other cached queries of the application is updated, too.
 */
export function usePresence<User = Default.User>(
  selections: Pick<Selections<unknown, unknown, User>, 'user'> = {},
): PresenceState<User> {
  const chat = useChat();
  const documents = documentsOf<Default.Message, Default.Room, User>(selections);
  const store = chat.store(`presence ${documents.key}`, () => createPresence(chat, documents));
  return useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
}

/** Creates the store of the viewer's friends. The store stays up to date while it has subscribers. */
export function createPresence<User>(shared: Chat, documents: Documents<any, any, User>): Store<PresenceState<User>> {
  const { chat, abort } = abortable(shared);
  const { cache } = chat;
  const initial: PresenceState<User> = { friends: [], loading: true, error: null };
  return createStore(initial, (set) => {
    let unfollow: (() => void) | null = null;
    const list = createNodeList<Friend<User>>(chat, documents.friendNodes, publish);
    function publish(): void {
      set({ friends: list.nodes, loading: false });
    }
    function open({ onLoaded, onError }: Progress): () => void {
      let stopped = false;
      const isStopped = () => stopped;
      async function loadFriends(): Promise<void> {
        if (isStopped()) return;
        const [{ viewer }, replay] = await chat.arrivals.during(() => query(chat, documents.friends, {}));
        if (!viewer || isStopped()) return;
        unfollow ??= chat.viewerEvents.follow(documents, viewer.cursor);
        const { nodes } = viewer.friends;
        cache.write(documents.friendNodes, { ids: nodes.map(({ id }) => id) }, { nodes });
        replay();
        list.replace(nodes);
        publish();
        onLoaded();
      }
      const load = repeatable(() => loadFriends().catch(onError));
      const unlisten = chat.viewerEvents.listen((event) => {
        if (event.__typename === 'FriendshipChanged' || mayChangeBlocks(event)) load();
      });
      // The server does not replay presence events, so the friends are loaded after each start of the stream.
      const unsubscribe = cache.subscribe(
        documents.presence,
        {},
        { onEvents: () => undefined, onStarted: load, onError },
      );
      // Does not wait for a socket that may never open.
      if (!isConnected(chat.client.state)) load();
      return () => {
        stopped = true;
        unlisten();
        unsubscribe();
      };
    }
    const { close } = keepOpen(chat.client, set, open);
    return () => {
      close();
      unfollow?.();
      abort();
      list.clear();
    };
  });
}
