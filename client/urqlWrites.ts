import { type Exchange, makeResult, type Operation } from '@urql/core';
import { filter, map, merge, pipe, share } from 'wonka';

/** Property of a query's context: data to write to the cache instead of a request. */
export const WRITTEN = 'writtenData';

const isWrite = ({ kind, context }: Operation) => kind === 'query' && WRITTEN in context;

/** Exchange below graphcache that returns the data of writes as their results. Graphcache can only be written by results. */
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
