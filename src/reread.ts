import {
  type ExecutionArgs,
  type ExecutionResult,
  getOperationAST,
  type GraphQLError,
  OperationTypeNode,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Context } from './context.ts';
import { ChatError } from './errors.ts';

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
      return execute({ ...args, contextValue: { ...(args.contextValue as Context), cache: {} } });
    });
  },
};

function isQuery({ document, operationName }: ExecutionArgs): boolean {
  return getOperationAST(document, operationName)?.operation === OperationTypeNode.QUERY;
}

/** Below the root: there, it is the answer to what was asked for. */
function isOfSomethingGone({ path, originalError }: GraphQLError): boolean {
  return originalError instanceof ChatError && originalError.code === 'NOT_FOUND' && (path?.length ?? 0) > 1;
}
