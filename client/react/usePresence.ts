import { useSyncExternalStore } from 'react';
import type { Failure } from '../errors.ts';
import { type Chat, query } from './chat.ts';
import { type Documents, documentsOf, type Friend, type Selections } from './documents.ts';
import { keepOpen, type Progress } from './keepOpen.ts';
import { createNodeList } from './nodeList.ts';
import { useChat } from './provider.ts';
import { createStore, type Store } from './store.ts';
import type * as Default from './types.ts';

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
export function createPresence<User>(chat: Chat, documents: Documents<any, any, User>): Store<PresenceState<User>> {
  const { cache } = chat;
  const initial: PresenceState<User> = { friends: [], loading: true, error: null };
  return createStore(initial, (set) => {
    const list = createNodeList<Friend<User>>(chat, documents.friendNodes, publish);
    function publish(): void {
      set({ friends: list.nodes, loading: false });
    }
    function open({ onLoaded, onError }: Progress): () => void {
      let stopped = false;
      async function load(): Promise<void> {
        const [{ viewer }, replay] = await chat.arrivals.during(() => query(chat, documents.friends, {}));
        if (!viewer || stopped) return;
        const { nodes } = viewer.friends;
        cache.write(documents.friendNodes, { ids: nodes.map(({ id }) => id) }, { nodes });
        replay();
        list.replace(nodes);
        publish();
        onLoaded();
      }
      // The server does not replay presence events, so the friends are loaded again after a reconnect.
      const unsubscribe = cache.subscribe(
        documents.presence,
        {},
        { onEvents: () => undefined, onResumed: () => void load().catch(onError), onError },
      );
      load().catch(onError);
      return () => {
        stopped = true;
        unsubscribe();
      };
    }
    const { close } = keepOpen(chat.client, set, open);
    return () => {
      close();
      list.clear();
    };
  });
}
