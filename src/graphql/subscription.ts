import { createSourceEventStream, type ExecutionArgs, type ExecutionResult } from 'graphql';
import { type Context, eventContext, trackViewer } from '../core/context.ts';
import {
  toSource,
  toAsyncIterator,
  done,
  isSource,
  type MaybePromise,
  andThen,
  type Next,
  pullPast,
  type Stream,
} from '../delivery/source.ts';
import type { SharedOperation } from './sharedExecution.ts';

/** Functions that depend on the configuration and the transport. */
interface SubscriptionOptions {
  /** Executes one event. Fails if the execution takes too long. */
  execute: (args: ExecutionArgs) => Promise<ExecutionResult> | ExecutionResult;
  /**
   * Calls `onEnd` when the stream must end: with an error, or with null if the client has disconnected or the node stops.
   * Returns a function that stops watching.
   */
  watch: (onEnd: (reason: Error | null) => void) => () => void;
}

/**
 * An event that can be executed once for all its subscribers, because they all receive the same object. Only such an
 * event has an `origin`.
 */
interface Shareable {
  origin: object;
}

/** An event of a room. Its execution fails if the subscriber has lost access to the room since the event was pulled. */
interface MembershipEvent {
  isNoLongerMember: (context: Context) => Promise<boolean>;
}

/** Result of executing an event for one subscriber. Other subscribers may reuse the result. */
interface SharedResult {
  /** Arguments of the subscriber for whom the event was executed. */
  executedFor: ExecutionArgs;
  /** Null if the execution failed. */
  result: ExecutionResult | null;
  failure?: unknown;
  /**
   * True if other subscribers must not reuse the result: a viewer-dependent value was read, or the execution failed and
   * may succeed for them.
   */
  viewerDependent: boolean;
}

/**
 * Subscribes like GraphQL's `subscribe`, with two differences. Each event is executed in a new context, so that no
 * cached value of one event appears in the next. Each event is executed once for all subscribers of the same operation.
 *
 * Whether a result may be shared is observed, not declared. If the first execution reads anything viewer-dependent,
 * this event and all later ones are executed separately for each subscriber.
 *
 * If the stream fails, it throws. Each transport reports the error in its own format.
 */
export async function subscribe(
  args: ExecutionArgs,
  { execute, watch }: SubscriptionOptions,
): Promise<Stream<ExecutionResult> | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return source;
  const events = isSource(source)
    ? source
    : toSource(source[Symbol.asyncIterator]() as AsyncIterator<object, undefined>);
  const { hasMore } = events;
  const context = args.contextValue as Context;
  const { eventCache, sharedExecution } = context;
  const registration = sharedExecution.register(args);
  const operation = registration?.operation ?? null;
  const counters = context.onDisconnect ? context.counters.sse : context.counters.websocket;

  function run(event: object): MaybePromise<Next<ExecutionResult> | undefined> {
    counters.unshared += 1;
    const result = execute({ ...args, rootValue: event, contextValue: eventContext(context) });
    return andThen(result, (own) => deliver(event, own));
  }

  async function runForAll(
    event: object,
    shared: SharedOperation,
    observed: ReturnType<typeof trackViewer>,
  ): Promise<SharedResult> {
    counters.shared += 1;
    try {
      const result = await execute({ ...args, rootValue: event, contextValue: observed.context });
      return {
        executedFor: args,
        result,
        viewerDependent: observed.viewerWasRead() || result.errors !== undefined,
      };
    } catch (failure) {
      return { executedFor: args, result: null, failure, viewerDependent: true };
    } finally {
      shared.viewerDependent ||= observed.viewerWasRead();
    }
  }

  /**
   * Executes an event together with the events that are already loaded after it. Their statements are then batched, and
   * their results are written in one chunk.
   */
  function runWithLookahead(event: object, shared: SharedOperation): Promise<SharedResult> {
    const observed = trackViewer(context);
    const result = runForAll(event, shared, observed);
    for (const next of events.lookahead?.() ?? [])
      eventCache.getOrLoad(next, shared, () => runForAll(next, shared, observed));
    return result;
  }

  /** Pulled event whose shared execution is still running. */
  let held: object | null = null;
  let onReady = () => {};
  const goOn = () => {
    onReady();
  };

  let reason: Error | null = null;
  let over = false;
  const stopWatching = watch((why) => {
    reason = why;
    // A client that has disconnected does not pull again, so the resources are released now.
    end();
  });
  function end(): void {
    if (over) return;
    over = true;
    held = null;
    stopWatching();
    registration?.release();
    events.end();
  }
  /** Throws the error that ended the stream, on the first call and if there is one. Otherwise returns `done`. */
  function last(): typeof done {
    const error = reason;
    reason = null;
    if (error) throw error;
    return done;
  }
  function fail(error: unknown): never {
    end();
    throw error;
  }

  function pull(): MaybePromise<Next<ExecutionResult> | undefined> {
    if (over) return last();
    try {
      const pulled = held ? executeEvent(held) : andThen(events.pull(), take);
      return pulled instanceof Promise ? pulled.catch(fail) : pulled;
    } catch (error) {
      return fail(error);
    }
  }

  function take(pulled: Next<object>): MaybePromise<Next<ExecutionResult> | undefined> {
    if (!pulled) return null;
    if (!pulled.done) return executeEvent(pulled.value);
    end();
    return last();
  }

  function executeEvent(event: object): MaybePromise<Next<ExecutionResult> | undefined> {
    const isShared = operation !== null && isShareable(event) && (held === event || !operation.viewerDependent);
    held = null;
    if (!isShared) return run(event);
    const shared = eventCache.getOrLoad(event, operation, () => runWithLookahead(event, operation), goOn);
    if (!shared) {
      held = event;
      return null;
    }
    const { executedFor, result, failure, viewerDependent } = shared;
    if (viewerDependent && executedFor !== args) return run(event);
    if (!result) throw failure;
    return deliver(event, result);
  }

  function deliver(event: object, result: ExecutionResult): MaybePromise<Next<ExecutionResult> | undefined> {
    const [error] = result.errors ?? [];
    if (error) return skipIfNoLongerMember(event, error);
    counters.delivered += 1;
    return { value: result, done: false };
  }

  /**
   * Skips a failed event if the subscriber is no longer a member of its room. Otherwise throws the error: if the event
   * were skipped, the cursor of the next event would mark it as delivered.
   */
  async function skipIfNoLongerMember(event: object, error: Error): Promise<undefined> {
    if (!isMembershipEvent(event) || !(await event.isNoLongerMember(context))) throw error;
  }

  return toAsyncIterator({
    pull: () => pullPast(pull),
    onReady(listener) {
      onReady = listener;
      events.onReady(listener);
    },
    // Returns true after the end, because the next pull must still report the reason.
    hasMore: hasMore && (() => over || hasMore()),
    end,
  });
}

function isShareable(event: object): event is Shareable {
  return 'origin' in event && event.origin instanceof Object;
}

function isMembershipEvent(event: object): event is MembershipEvent {
  return 'isNoLongerMember' in event;
}
