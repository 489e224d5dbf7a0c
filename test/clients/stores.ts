import { ApolloClient, InMemoryCache } from '@apollo/client';
import { Client } from '@urql/core';
import { onTestFinished } from 'vitest';
import { cachePolicies, createChatLink } from '../../client/apollo.ts';
import type { ChatClientOptions } from '../../client/index.ts';
import { apolloCache } from '../../client/react/apollo.ts';
import type { ChatCache } from '../../client/react/cache.ts';
import { documentsOf } from '../../client/react/documents.ts';
import type { Store } from '../../client/react/store.ts';
import type { Message, Room, User } from '../../client/react/types.ts';
import { urqlCache } from '../../client/react/urql.ts';
import { chatCacheExchange, chatExchange } from '../../client/urql.ts';
import type { Person } from '../support/client.ts';
import { chatOf } from './chatOf.ts';

export const documents = documentsOf<Message, Room, User>({});

export type OpenChat = (person: Person, options?: Partial<ChatClientOptions>) => ReturnType<typeof apolloChat>;

function apolloChat(person: Person, options: Partial<ChatClientOptions> = {}) {
  const client = chatOf(person, options);
  const apollo = new ApolloClient({ link: createChatLink(client), cache: new InMemoryCache(cachePolicies) });
  return { client, cache: apolloCache(apollo) };
}

const urqlChat: OpenChat = (person, options) => {
  const client = chatOf(person, options);
  const exchanges = [chatCacheExchange(), chatExchange(client)];
  const cache: ChatCache = urqlCache(new Client({ url: `${person.url}/graphql`, exchanges }));
  return { client, cache };
};

/** Caches of the hooks, each with a function that creates the values of a `ChatProvider`. */
export const CHATS: [string, OpenChat][] = [
  ['Apollo Client', apolloChat],
  ['urql', urqlChat],
];

/** Subscribes to a store until the end of the test. Returns a function that unsubscribes earlier. */
export function show(store: Store<unknown>, listener: () => void = () => undefined): () => void {
  const unsubscribe = store.subscribe(listener);
  onTestFinished(unsubscribe);
  return unsubscribe;
}
