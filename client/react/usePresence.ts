import { useSyncExternalStore } from 'react';
import type { Failure } from '../errors.ts';
import { failureOf } from './failure.ts';
import { type Documents, documentsOf, type Friend, type Selections } from './documents.ts';
import { useChat } from './provider.ts';
import type { Chat } from './room.ts';
import { createStore, type Store } from './store.ts';
import type * as Default from './types.ts';

export interface PresenceState<User> {
  /** The viewer's friends, at most 100. */
  friends: readonly Friend<User>[];
  loading: boolean;
  error: Failure | null;
}

/**
 * Returns the viewer's friends with their presence, kept up to date. While a component uses this hook, each cached
 * `User.presence` of the application is kept up to date as well.
 */
export function usePresence<User = Default.User>(
  selections: Pick<Selections<unknown, unknown, User>, 'user'> = {},
): PresenceState<User> {
  const chat = useChat();
  const documents = documentsOf<Default.Message, Default.Room, User>(selections);
  const store = chat.store(`presence ${documents.key}`, () => createPresence(chat, documents));
  return useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
}

function createPresence<User>({ cache }: Chat, documents: Documents<any, any, User>): Store<PresenceState<User>> {
  const initial: PresenceState<User> = { friends: [], loading: true, error: null };
  return createStore(initial, (set) => {
    const fail = (error: unknown) => {
      set({ error: failureOf(error), loading: false });
    };
    const load = () => cache.fetch(documents.friends, {}).catch(fail);
    const stops = [
      cache.watch(documents.friends, {}, (data) => {
        if (!data?.viewer) return;
        set({ friends: data.viewer.friends.edges.map(({ node }) => node), loading: false });
      }),
      // Presence events are hints, so changes that were missed while offline are queried.
      cache.subscribe(
        documents.presence,
        {},
        { onEvents: () => undefined, onResumed: () => void load(), onError: fail },
      ),
    ];
    void load();
    return () => {
      for (const stop of stops) stop();
    };
  });
}
