import { type DocumentNode, execute, type ExecutionArgs, type GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { type Context, executionContext, type Operation, subscriptionContext } from '../../core/context.ts';
import { withTimeout } from '../../core/timeout.ts';
import { isSource } from '../../delivery/source.ts';
import { checkStreamVariables, type createStreamLimit } from '../../platform/rateLimits/sockets.ts';
import { subscribe } from '../subscription.ts';
import type { Transport } from '../transport.ts';
import { traceDelivery } from './traces.ts';

/** Plugin that passes the parsed document to the function that creates the operation. */
export const passDocument: Plugin<Transport> = {
  onParse:
    () =>
    ({ context, result }) => {
      Object.assign(context, { document: result as DocumentNode });
    },
};

/**
 * Plugin that creates the execution context from the operation. Must be the first plugin: the later plugins wrap its
 * function, so they receive the operation and not the execution context.
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
 * Creates the plugin that executes each event of a subscription in a new context. Also limits the number of streams per
 * user.
 *
 * When a session ends, its SSE streams end. Over WebSocket, the whole socket closes instead. The close code then shows
 * whether the client may reconnect.
 *
 * @param ms maximum duration of the execution of one event, in milliseconds
 */
export const subscribeInContexts = (
  ms: number,
  streams: ReturnType<typeof createStreamLimit>,
  mask: (error: unknown) => GraphQLError,
): Plugin => {
  function executeEvent(event: ExecutionArgs): ReturnType<typeof execute> {
    const { tracing } = event.contextValue as Context;
    const run = () => {
      const result = execute(event);
      return result instanceof Promise ? withTimeout(ms, result) : result;
    };
    return tracing ? traceDelivery(tracing, event, run) : run();
  }

  return {
    onSubscribe({ setSubscribeFn }) {
      setSubscribeFn(async (args: ExecutionArgs) => {
        const context = subscriptionContext(args.contextValue as Operation);
        const { viewer } = context;
        let release = () => {};
        try {
          if (viewer) release = streams.acquire(viewer.userId);
        } catch (error) {
          return { errors: [mask(error)] };
        }
        const results = await subscribe(
          { ...args, rootValue: undefined, contextValue: context },
          {
            watch: (onEnd) => watchStream(context, onEnd, release),
            execute: executeEvent,
          },
        ).catch((error: unknown) => {
          release();
          throw error;
        });
        if (!isSource(results)) {
          release();
          return results;
        }
        try {
          // Checked after the arguments of the subscription, because the error about an invalid argument names the
          // argument.
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
  };
};

/** Calls `onEnd` when a stream must end. Returns a function that stops watching and calls `release`. */
function watchStream(context: Context, onEnd: (reason: Error | null) => void, release: () => void): () => void {
  const { gauges, sessions, viewer, onDisconnect } = context;
  const sse = onDisconnect ? 1 : 0;
  gauges.streams += 1;
  gauges.sse += sse;
  // Only for SSE. Over WebSocket, the end of the session closes the socket, and the socket ends its streams.
  const stopWatchingSession = viewer && onDisconnect ? sessions.watch(viewer, onEnd) : null;
  const stopListening = onDisconnect?.(() => {
    onEnd(null);
  });
  return () => {
    gauges.streams -= 1;
    gauges.sse -= sse;
    stopWatchingSession?.();
    stopListening?.();
    release();
  };
}
