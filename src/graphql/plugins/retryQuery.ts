import type { ExecutionArgs, ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Operation } from '../../core/context.ts';
import { isQuery } from './requestGuards.ts';
import { codeOf } from './errorMask.ts';

/**
 * Retries a query once if an object was deleted while the query ran.
 *
 * A query runs several statements, and each statement sees all earlier commits. If a listed member deletes their
 * account between two statements, the second statement does not find the account. Without a retry, the whole query
 * would fail although it is valid.
 */
export const retryQueries: Plugin = {
  onExecute({ executeFn, setExecuteFn }) {
    const execute = executeFn as (args: ExecutionArgs) => Promise<ExecutionResult>;
    setExecuteFn(async (args: ExecutionArgs) => {
      const result = await execute(args);
      if (!isQuery(args) || !result.errors?.some(isNestedNotFound)) return result;
      // The retry keeps the `asOf` snapshot of the first attempt. Cursors in the result may be older than the other
      // fields, but never newer, so a subscription from such a cursor misses no event.
      return execute({ ...args, contextValue: { ...(args.contextValue as Operation), cache: {} } });
    });
  },
};

/** Returns whether a nested object was not found. A `NOT_FOUND` of a root field is the correct result of the query. */
function isNestedNotFound(error: GraphQLError): boolean {
  return codeOf(error) === 'NOT_FOUND' && (error.path?.length ?? 0) > 1;
}
