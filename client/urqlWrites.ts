import { type Exchange, makeResult, type Operation } from '@urql/core';
import { filter, map, merge, pipe, share } from 'wonka';

/**
 * Key in the context of a query or subscription. Its value is data to write to the cache, instead of sending the
 * operation.
 */
export const WRITTEN = 'writtenData';

const isWrite = ({ kind, context }: Operation) => kind !== 'teardown' && WRITTEN in context;

/**
 * Exchange below graphcache. Returns the data of a write as a result, because only results can be written to
 * graphcache.
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
