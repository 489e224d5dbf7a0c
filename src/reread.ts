import type { ExecutionArgs, ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Operation } from './context.ts';
import { isQuery } from './limits/plugins.ts';
import { codeOf } from './mask.ts';

/**
 * Executes a query once more where it came apart.
 *
 * It is read with several statements, each of which sees what was committed before it. What goes between two of them (the
 * account of a member who has just been listed) would have the whole answer fail, though nothing is wrong with the question.
 */
export const rereadQueries: Plugin = {
  onExecute({ executeFn, setExecuteFn }) {
    const execute = executeFn as (args: ExecutionArgs) => Promise<ExecutionResult>;
    setExecuteFn(async (args: ExecutionArgs) => {
      const result = await execute(args);
      if (!isQuery(args) || !result.errors?.some(isOfSomethingGone)) return result;
      // The snapshot stays that of the first reading: cursors may be older than what they come with, but not newer.
      return execute({ ...args, contextValue: { ...(args.contextValue as Operation), cache: {} } });
    });
  },
};

/** Below the root: there, it is the answer to what was asked for. */
function isOfSomethingGone(error: GraphQLError): boolean {
  return codeOf(error) === 'NOT_FOUND' && (error.path?.length ?? 0) > 1;
}
