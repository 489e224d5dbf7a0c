import { type ApolloCache, ApolloLink, type InMemoryCacheConfig, Observable, type Reference } from '@apollo/client';
import { OperationTypeNode } from 'graphql';
import { relayStylePagination } from '@apollo/client/utilities';
import { connections, possibleTypes } from './generated/schema.ts';
import type { ChatClient, RequestOptions, StreamOptions } from './index.ts';
import { observe } from './observe.ts';

/** What operations can be given as `context`. */
export type ChatContext = Pick<RequestOptions, 'retry'> & StreamOptions;

/** The last link of an Apollo Client: sends all operations with the chat client, whose subscriptions come back by themselves. */
export function createChatLink(client: ChatClient): ApolloLink {
  return new ApolloLink(({ operationType, query, variables, getContext }) => {
    const { retry, onResync, onResumed } = getContext() as ChatContext;
    return new Observable((observer) => {
      if (operationType === OperationTypeNode.SUBSCRIPTION) {
        const stream = client.subscribe<Record<string, unknown>>(query, variables, { onResync, onResumed });
        return observe(stream, {
          next(data) {
            observer.next({ data });
          },
          error(error) {
            observer.error(error);
          },
          complete() {
            observer.complete();
          },
        });
      }
      const unsubscribed = new AbortController();
      client.request<Record<string, unknown>>(query, variables, { retry, signal: unsubscribed.signal }).then(
        (result) => {
          observer.next(result as ApolloLink.Result);
          observer.complete();
        },
        (error: unknown) => {
          observer.error(error);
        },
      );
      return () => {
        unsubscribed.abort();
      };
    });
  });
}

/**
 * How an `InMemoryCache` keeps what Parley answers: `new InMemoryCache(cachePolicies)`.
 *
 * Lists are one list, however many pages were read: ask for `edges { cursor node }` and `pageInfo`.
 */
export const cachePolicies: Pick<InMemoryCacheConfig, 'possibleTypes' | 'typePolicies'> = {
  possibleTypes,
  typePolicies: {
    ...Object.fromEntries(
      Object.entries(connections).map(([type, lists]) => [type, { fields: fieldPolicies(lists) }] as const),
    ),
    Query: {
      fields: {
        ...fieldPolicies(connections.Query),
        // What a list has brought is there when it is looked at by itself.
        chatroom: (known, { args, toReference }) =>
          (known ?? toReference({ __typename: 'Chatroom', id: String(args?.['id']) })) as Reference | undefined,
      },
    },
    Message: { fields: { ...fieldPolicies(connections.Message), reactions: { merge: false } } },
    Presence: { merge: true },
    // There is one of each, also where nobody asks for its id.
    Server: { keyFields: [] },
    Viewer: { keyFields: [], fields: fieldPolicies(connections.Viewer) },
  },
};

function fieldPolicies(lists: Record<string, readonly string[]>) {
  return Object.fromEntries(
    Object.entries(lists).map(([field, args]) => [field, relayStylePagination(args.length > 0 ? [...args] : false)]),
  );
}

/** A message as `addMessage` has to know it. */
export interface CachedMessage {
  __typename?: 'Message';
  id: string;
  number: number;
  cursor: string;
  clientMessageId?: string | null;
}

interface CachedList {
  edges: { __typename?: string; cursor: string; node: Reference }[];
  pageInfo?: { hasNextPage?: boolean; endCursor?: string | null };
}

/**
 * Puts a message into `Chatroom.messages`, where that has been read up to its end: in its place, and once, whether it comes
 * by the subscription, as the answer to `sendMessage`, or as the optimistic answer that stands in for it.
 */
export function addMessage(cache: ApolloCache, chatroomId: string, message: CachedMessage): void {
  const id = cache.identify({ __typename: 'Chatroom', id: chatroomId });
  const node: Reference = { __ref: cache.identify({ __typename: 'Message', id: message.id }) ?? '' };
  cache.modify<{ messages: CachedList }>({
    ...(id ? { id } : {}),
    fields: {
      messages(list, { readField }) {
        const { edges, pageInfo } = list as unknown as CachedList;
        // What lies between would be missing; the next page brings it.
        if (pageInfo?.hasNextPage) return list;
        if (edges.some((edge) => edge.node.__ref === node.__ref)) return list;
        const { clientMessageId, number, cursor } = message;
        const others = edges.filter(
          (edge) => clientMessageId == null || readField('clientMessageId', edge.node) !== clientMessageId,
        );
        const before = others.findLastIndex((edge) => (readField<number>('number', edge.node) ?? 0) < number);
        const added = others.toSpliced(before + 1, 0, { __typename: 'MessageEdge', cursor, node });
        return { ...list, edges: added };
      },
    },
  });
}
