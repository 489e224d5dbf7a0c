import { execute, type ExecutionArgs, type GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { type Context, executionContext, type Operation, subscriptionContext } from '../../core/context.ts';
import { withTimeout } from '../../core/timeout.ts';
import { isSource } from '../../delivery/source.ts';
import { checkStreamVariables, type createStreamLimit } from '../../platform/rateLimits/sockets.ts';
import { subscribe } from '../subscription.ts';
import { traceDelivery } from './traces.ts';

/**
 * Creates the execution context from the operation. Must be the first plugin: the later plugins wrap its function, so
 * they receive the operation and not the execution context.
 */
export const executeInContext: Plugin = {
  onExecute({ executeFn, setExecuteFn }) {
    const run = executeFn as (args: ExecutionArgs) => unknown;
    setExecuteFn((args: ExecutionArgs) =>
      run({ ...args, contextValue: executionContext(args.contextValue as Operation) }),
    );
  },
};

/**
 * Replaces the `subscribe` function of GraphQL by one that executes each event in a new context, for at most `ms`
 * milliseconds. Limits the number of streams per user.
 *
 * When a session ends, its streams over HTTP end. Over WebSocket, the whole socket closes instead, with a code that
 * shows whether the client may reconnect.
 */
export const subscribeInContexts = (
  ms: number,
  streams: ReturnType<typeof createStreamLimit>,
  mask: (error: unknown) => GraphQLError,
): Plugin => ({
  onSubscribe({ setSubscribeFn }) {
    setSubscribeFn(async (args: ExecutionArgs) => {
      const context = subscriptionContext(args.contextValue as Operation);
      const { tracing, viewer } = context;
      let leave = () => {};
      try {
        if (viewer) leave = streams.enter(viewer.userId);
      } catch (error) {
        return { errors: [mask(error)] };
      }
      const results = await subscribe(
        { ...args, rootValue: undefined, contextValue: context },
        {
          watch(onEnd) {
            const stopWatching = watchStream(context, onEnd);
            return () => {
              stopWatching();
              leave();
            };
          },
          execute(event) {
            const run = () => {
              const result = execute(event);
              return result instanceof Promise ? withTimeout(ms, result) : result;
            };
            return tracing ? traceDelivery(tracing, event, run) : run();
          },
        },
      ).catch((error: unknown) => {
        leave();
        throw error;
      });
      if (!isSource(results)) {
        leave();
        return results;
      }
      try {
        // Checked after the arguments of the subscription, because an error about an argument is more helpful: it names
        // the argument.
        checkStreamVariables(args.variableValues);
      } catch (error) {
        results.end();
        return { errors: [mask(error)] };
      }
      // Releases the rows loaded during setup, which the stream does not need.
      context.cache = {};
      // Passes the stream to the WebSocket server, which reads it directly. The other plugins would wrap each result in
      // a promise.
      Object.assign(args.rootValue ?? {}, { stream: results });
      return results;
    });
  },
});

function watchStream(context: Context, onEnd: (reason: Error | null) => void): () => void {
  const { gauges, sessions, viewer, onDisconnect } = context;
  const sse = onDisconnect ? 1 : 0;
  gauges.streams += 1;
  gauges.sse += sse;
  const stopWatching = [
    // Only for SSE. Over WebSocket, the end of the session closes the socket, and the socket ends its streams.
    viewer && onDisconnect ? sessions.watch(viewer, onEnd) : null,
    onDisconnect?.(() => {
      onEnd(null);
    }),
  ];
  return () => {
    gauges.streams -= 1;
    gauges.sse -= sse;
    for (const stop of stopWatching) stop?.();
  };
}
