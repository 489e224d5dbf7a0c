import { type Exchange, makeOperation, makeResult, type Operation } from '@urql/core';
import { filter, map, merge, pipe, share } from 'wonka';

/**
 * Key in the context of an operation that is not sent. The value of the key is written to the cache as the result of
 * the operation.
 */
export const WRITTEN = 'writtenData';

/**
 * Key in the context of a query that is only read from the cache. Graphcache executes a query again after each change, but
 * with the policy `cache-first`. Without this key, the query would be sent whenever the cache lacks a field.
 */
export const WATCHED = 'isWatched';

/**
 * Key in the context of a subscription: a function that receives each event as the server sent it. The data that graphcache
 * passes on has merged lists instead of pages.
 */
export const RECEIVED = 'onReceived';

/**
 * Key in the context of a mutation: a function that is called each time the mutation is about to be sent. A message may
 * wait for a long time before that, while the server is away.
 */
export const SENDING = 'onSending';

/** Restores the policy of a query with `WATCHED`. */
export function keepWatched(operation: Operation): Operation {
  const { kind, context } = operation;
  return context[WATCHED] === true
    ? makeOperation(kind, operation, { ...context, requestPolicy: 'cache-only' })
    : operation;
}

const isWrite = ({ kind, context }: Operation) => kind !== 'teardown' && WRITTEN in context;

/**
 * Exchange below graphcache. Returns the data of `WRITTEN` as the result of its operation, because graphcache only
 * caches results. Forwards all other operations.
 */
export const writeExchange: Exchange =
  ({ forward }) =>
  (operations) => {
    const shared = share(operations);
    const written = pipe(
      shared,
      filter(isWrite),
      map((operation) => makeResult(operation, { data: operation.context[WRITTEN] as object })),
    );
    const others = pipe(
      shared,
      filter((operation) => !isWrite(operation)),
      forward,
    );
    return merge([written, others]);
  };
