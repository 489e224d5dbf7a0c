import type { AnyVariables, Client, OperationResult, TypedDocumentNode } from '@urql/core';
import { createBatch } from './batch.ts';
import type { ChatCache, TypedDocument } from './cache.ts';

/** Creates the adapter of urql's graphcache for the hooks. The client needs `chatCacheExchange()` and `chatExchange`. */
export function urqlCache(client: Client): ChatCache {
  return {
    watch(query, variables, listener) {
      const subscription = client
        .query(typed(query), variables, { requestPolicy: 'cache-only' })
        .subscribe(({ data }) => {
          listener(data ?? null);
        });
      return () => {
        subscription.unsubscribe();
      };
    },
    async fetch(query, variables) {
      const context = { requestPolicy: 'network-only', retry: true } as const;
      return dataOf(await client.query(typed(query), variables, context).toPromise());
    },
    async mutate(mutation, variables) {
      return dataOf(await client.mutation(typed(mutation), variables).toPromise());
    },
    subscribe(subscription, variables, { onEvents, onError, ...context }) {
      const batch = createBatch(onEvents);
      const following = client.subscription(typed(subscription), variables, context).subscribe(({ data, error }) => {
        if (error) onError(error);
        else if (data) batch.add(data);
      });
      return () => {
        following.unsubscribe();
        batch.cancel();
      };
    },
  };
}

function dataOf<Data>({ data, error }: OperationResult<Data>): Data {
  if (error) throw error;
  return data as Data;
}

function typed<Data, Variables>(document: TypedDocument<Data, Variables>) {
  return document as unknown as TypedDocumentNode<Data, AnyVariables>;
}
