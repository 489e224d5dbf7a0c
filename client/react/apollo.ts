import type { ApolloClient, OperationVariables, TypedDocumentNode } from '@apollo/client';
import { addMessage, type CachedMessage } from '../apollo.ts';
import { createBatch } from './batch.ts';
import type { ChatCache, TypedDocument } from './cache.ts';

/** An event that may add a message to a list. */
interface AddedEvent {
  __typename?: string;
  chatroom?: { id: string };
  message?: Partial<CachedMessage> & { chatroom?: { id: string } };
}

/**
 * Creates the adapter of Apollo Client's cache for the hooks. The client needs `createChatLink` and `cachePolicies`.
 */
export function apolloCache(client: ApolloClient): ChatCache {
  return {
    watch(query, variables, listener) {
      return client.cache.watch({
        query: client.cache.transformDocument(typed(query)),
        ...{ variables, optimistic: true, immediate: true },
        callback({ complete, result }) {
          listener(complete ? (result as never) : null);
        },
      });
    },
    write(query, variables, data) {
      client.writeQuery({ query: typed(query), variables, data });
    },
    async mutate(mutation, variables) {
      const { data } = await client.mutate({ mutation: typed(mutation), variables });
      return data as never;
    },
    subscribe(subscription, variables, { onEvents, onError, ...context }) {
      const query = client.cache.transformDocument(typed(subscription));
      // Writes events that arrive together in one batch, because each write compares the results of all watched
      // queries.
      const batch = createBatch<object>((events) => {
        const write = () => {
          client.cache.batch({
            update(cache) {
              for (const data of events) {
                cache.writeQuery({ id: 'ROOT_SUBSCRIPTION', query, variables, data });
                const [event] = Object.values(data) as (AddedEvent | null)[];
                const roomId = event?.chatroom?.id ?? event?.message?.chatroom?.id;
                // Skips messages of the stream over all rooms. They have no cursor and may lack fields of the list.
                if (event?.__typename === 'MessageAdded' && event.message?.cursor && roomId)
                  addMessage(cache, roomId, event.message as CachedMessage);
              }
            },
          });
        };
        write();
        onEvents(events as never[], write);
      });
      const following = client
        .subscribe<object>({
          ...{ query, variables, fetchPolicy: 'no-cache' },
          // Without this option, Apollo Client merges equal subscriptions and calls only the callbacks of the first.
          context: { ...context, queryDeduplication: false },
        })
        .subscribe({
          next({ data, error }) {
            if (error) onError(error);
            else if (data) batch.add(data);
          },
          error: onError,
        });
      return () => {
        following.unsubscribe();
        batch.cancel();
      };
    },
  };
}

function typed<Data, Variables>(document: TypedDocument<Data, Variables>) {
  return document as unknown as TypedDocumentNode<Data, OperationVariables>;
}
