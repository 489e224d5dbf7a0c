import { createContext, createElement, type ReactNode, useContext, useMemo } from 'react';
import type { ChatCache } from './cache.ts';
import type { ChatClient } from '../index.ts';
import { type Chat, createChat } from './chat.ts';
import type { Store } from './store.ts';

interface ChatValue extends Chat {
  /** Returns the store with this key. Creates it on the first call. */
  store: <S extends Store<unknown>>(key: string, create: (chat: Chat) => S) => S;
}

const ChatContext = createContext<ChatValue | null>(null);

/**
 * Provides the chat client and the application's cache to the hooks below. Use a new provider for each signed-in
 * viewer.
 */
export function ChatProvider({
  client,
  cache,
  children,
}: Pick<Chat, 'client' | 'cache'> & { children: ReactNode }): ReactNode {
  const value = useMemo(() => createValue(client, cache), [client, cache]);
  return createElement(ChatContext.Provider, { value }, children);
}

function createValue(client: ChatClient, cache: ChatCache): ChatValue {
  const chat = createChat(client, cache);
  const stores = new Map<string, Store<unknown>>();
  return {
    ...chat,
    store<S extends Store<unknown>>(key: string, create: (chat: Chat) => S): S {
      const store = stores.get(key) ?? create(chat);
      stores.set(key, store);
      return store as S;
    },
  };
}

/**
 * Returns the chat client and the cache of the provider above.
 *
 * @throws Error if there is no `ChatProvider` above the component
 */
export function useChat(): ChatValue {
  const value = useContext(ChatContext);
  if (!value) throw new Error('Wrap this component in a <ChatProvider client={…} cache={…}>.');
  return value;
}
