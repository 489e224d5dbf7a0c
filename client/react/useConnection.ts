import { useSyncExternalStore } from 'react';
import type { ChatState, Failure } from '../index.ts';
import { useChat } from './provider.ts';
import { createStore } from './store.ts';

export interface Connection {
  state: ChatState;
  /** Error that interrupted the connection or ended the session; null otherwise. */
  reason: Failure | null;
}

/** Returns the state of the chat client's connection, and the error that interrupted the connection. */
export function useConnection(): Connection {
  const chat = useChat();
  const store = chat.store('connection', ({ client }) =>
    createStore<Connection>({ state: client.state, reason: null }, (set) => {
      // The state may have changed since the store was created.
      if (client.state !== 'idle') set({ state: client.state });
      return client.onState((state, reason) => {
        set({ state, reason: reason ?? null });
      });
    }),
  );
  return useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
}
