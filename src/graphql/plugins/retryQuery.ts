import type { ExecutionArgs, ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Operation } from '../../core/context.ts';
import { isQuery } from './requestGuards.ts';
import { codeOf } from './errorMask.ts';

/**
 * Retries a query once if an object was deleted while the query ran.
 *
 * A query runs several statements, and each sees the commits before it. A member may be listed by one statement and have
 * deleted their account before the next. Without a retry, a valid query would fail as a whole.
 */
export const retryQueries: Plugin = {
  onExecute({ executeFn, setExecuteFn }) {
    const execute = executeFn as (args: ExecutionArgs) => Promise<ExecutionResult>;
    setExecuteFn(async (args: ExecutionArgs) => {
      const result = await execute(args);
      if (!isQuery(args) || !result.errors?.some(isOfSomethingGone)) return result;
      // The retry uses the `asOf` snapshot of the first attempt. A cursor may be older than its fields, but never newer.
      return execute({ ...args, contextValue: { ...(args.contextValue as Operation), cache: {} } });
    });
  },
};

/** Returns whether a nested object was not found. At the root, `NOT_FOUND` is the correct result of the query. */
function isOfSomethingGone(error: GraphQLError): boolean {
  return codeOf(error) === 'NOT_FOUND' && (error.path?.length ?? 0) > 1;
}
