import {
  type AnyVariables,
  type Client,
  createRequest,
  makeOperation,
  type OperationContext,
  type OperationResult,
  type TypedDocumentNode,
} from '@urql/core';
import { RECEIVED, WATCHED, WRITTEN } from '../urqlWrites.ts';
import { createBatch } from './batch.ts';
import type { ChatCache, TypedDocument } from './cache.ts';

/**
 * Creates the adapter of urql's graphcache for the hooks. The client needs `chatCacheExchange()` and `chatExchange`.
 */
export function urqlCache(client: Client): ChatCache {
  /**
   * Keys of ended queries, which are used again. Graphcache never deletes its data about the key of a query, so new keys
   * would leak memory. Keys of this adapter are negative. Keys of urql are not.
   */
  const freeKeys: number[] = [];
  let lastKey = 0;

  /**
   * Executes a query under its own key, because urql merges queries with the same key. Returns a function that ends the
   * query.
   */
  function execute<Data, Variables extends object>(
    query: TypedDocument<Data, Variables>,
    variables: Variables,
    context: Partial<OperationContext>,
    listener: (data: Data | null) => void,
  ): () => void {
    const key = freeKeys.pop() ?? (lastKey -= 1);
    const request = { ...createRequest(typed(query), variables as AnyVariables), key };
    const subscription = client.executeQuery(request, context).subscribe(({ data }) => {
      listener(data ?? null);
    });
    return () => {
      subscription.unsubscribe();
      freeKeys.push(key);
    };
  }

  return {
    watch: (query, variables, listener) =>
      execute(query, variables, { requestPolicy: 'cache-only', [WATCHED]: true }, listener),
    write(query, variables, data) {
      const request = createRequest(typed(query), variables as AnyVariables);
      const context = { requestPolicy: 'network-only', [WRITTEN]: data } as const;
      // Written as the result of a mutation, because `chatCacheExchange` gives each mutation its own key. While another query is
      // pending, graphcache keeps results in layers by their keys. A write with a key that was used before would move the old
      // data of that key above newer events.
      client
        .executeRequestOperation(makeOperation('mutation', client.createRequestOperation('query', request, context)))
        .subscribe(() => undefined);
    },
    async mutate(mutation, variables) {
      return dataOf(await client.mutation(typed(mutation), variables).toPromise());
    },
    subscribe(subscription, variables, { onEvents, onError, ...context }) {
      // Each subscription has its own key. Otherwise urql merges equal subscriptions and calls only the callbacks of
      // the first.
      const ownRequest = () => ({
        ...createRequest(typed(subscription), variables as AnyVariables),
        key: (lastKey -= 1),
      });
      const batch = createBatch<never>((events) => {
        onEvents(events, () => {
          for (const data of events)
            client
              .executeSubscription(ownRequest(), { [WRITTEN]: data })
              .subscribe(() => undefined)
              .unsubscribe();
        });
      });
      // Passed on after graphcache has written the event.
      const received: never[] = [];
      const own = { ...context, [RECEIVED]: (data: never) => received.push(data) };
      const following = client.executeSubscription(ownRequest(), own).subscribe(({ error }) => {
        if (error) onError(error);
        for (const data of received.splice(0)) batch.add(data);
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
