import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { Client, gql as urqlGql } from '@urql/core';
import { onTestFinished } from 'vitest';
import { cachePolicies, createChatLink } from '../../client/apollo.ts';
import type { ChatClientOptions } from '../../client/index.ts';
import { apolloCache } from '../../client/react/apollo.ts';
import { type Chat, createChat } from '../../client/react/chat.ts';
import { documentsOf } from '../../client/react/documents.ts';
import type { Store } from '../../client/react/store.ts';
import type { Message, Room, User } from '../../client/react/types.ts';
import { urqlCache } from '../../client/react/urql.ts';
import { chatCacheExchange, chatExchange } from '../../client/urql.ts';
import type { Person } from '../support/client.ts';
import { chatOf } from './chatOf.ts';

export const documents = documentsOf<Message, Room, User>({});

export interface TestChat extends Chat {
  /** Runs a query of the application over the network into the cache. */
  read: (query: string, variables: object) => Promise<unknown>;
}

export type OpenChat = (person: Person, options?: Partial<ChatClientOptions>) => TestChat;

export function apolloChat(person: Person, options: Partial<ChatClientOptions> = {}) {
  const client = chatOf(person, options);
  const apollo = new ApolloClient({ link: createChatLink(client), cache: new InMemoryCache(cachePolicies) });
  return {
    ...createChat(client, apolloCache(apollo)),
    read: (query: string, variables: object): Promise<unknown> =>
      apollo.query({ query: gql(query), variables, fetchPolicy: 'network-only' }),
    apollo,
  };
}

const urqlChat: OpenChat = (person, options) => {
  const client = chatOf(person, options);
  const exchanges = [chatCacheExchange(), chatExchange(client)];
  const urql = new Client({ url: `${person.url}/graphql`, exchanges });
  return {
    ...createChat(client, urqlCache(urql)),
    read: (query, variables) => urql.query(urqlGql(query), variables, { requestPolicy: 'network-only' }).toPromise(),
  };
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
