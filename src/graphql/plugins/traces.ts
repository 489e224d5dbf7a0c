import type { ExecutionArgs, ExecutionResult } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Tracing } from '../../platform/observability/tracing.ts';
import type { Transport } from '../transport.ts';
import { rootFieldOf } from './requestLog.ts';

/**
 * Creates a trace span per operation, named after its root field. Operation names are chosen by clients and not unique.
 */
export function traceOperations(tracing: Tracing): Plugin {
  const trace = <Result>(args: ExecutionArgs, run: () => Result | Promise<Result>) => {
    const { params } = args.contextValue as { params?: { extensions?: Record<string, unknown> | null } };
    const { response } = args.contextValue as Partial<Transport>;
    // Over HTTP, `traceparent` is a header, and the span of the HTTP request has already read it.
    const traceparent = response ? undefined : params?.extensions?.['traceparent'];
    return tracing.within(rootFieldOf(args.document, args.operationName), {}, run, traceparent);
  };
  return {
    onExecute({ executeFn, setExecuteFn }) {
      const run = executeFn as (args: ExecutionArgs) => unknown;
      setExecuteFn((args: ExecutionArgs) => trace(args, () => run(args)));
    },
    onSubscribe({ subscribeFn, setSubscribeFn }) {
      const run = subscribeFn as (args: ExecutionArgs) => unknown;
      setSubscribeFn((args: ExecutionArgs) => trace(args, () => run(args)));
    },
  };
}

/** Executes an event of a subscription as part of the trace that caused the event. */
export function traceDelivery(
  tracing: Tracing,
  event: ExecutionArgs,
  run: () => ExecutionResult | Promise<ExecutionResult>,
) {
  const { isShared, chatroomId, seq } = event.rootValue as { isShared?: boolean; chatroomId: string; seq?: number };
  const position = isShared && seq !== undefined ? { chatroomId, seq } : null;
  return tracing.deliver(`deliver ${rootFieldOf(event.document, event.operationName)}`, position, async () => run());
}
