import { createSourceEventStream, type ExecutionArgs, type ExecutionResult, GraphQLError, locatedError } from 'graphql';
import { type Context, eventContext, trackViewer, type ViewerTracking } from '../core/context.ts';
import {
  toSource,
  toAsyncIterator,
  done,
  isSource,
  type MaybePromise,
  andThen,
  type Next,
  pullPast,
  type Source,
  type Stream,
} from '../delivery/source.ts';
import type { SnapshotEvent } from '../platform/database/consistentReads.ts';
import { PersonalResult } from './personalFields.ts';
import type { SharedOperation, SharedResult } from './sharedExecution.ts';

/** The parts of a subscription that depend on the configuration and the transport. */
interface SubscriptionOptions {
  /** Executes one event. Fails if the execution takes too long. */
  execute: (args: ExecutionArgs) => Promise<ExecutionResult> | ExecutionResult;
  /**
   * Calls `onEnd` when the stream must end: with an error, or with null if the client has disconnected or the node
   * stops. Returns a function that stops watching.
   */
  watch: (onEnd: (reason: Error | null) => void) => () => void;
}

/**
 * An event that can be executed once for all subscribers. They receive the same object, or objects with the same
 * `sharedAs`. In the second case, the objects differ in fields that resolvers read with `fromEvent`.
 */
interface SharedEvent {
  isShared: true;
  /** Object that is executed for all subscribers, by default the event itself. */
  sharedAs?: object;
}

/**
 * An event of a stream over all rooms. Its execution may fail because the subscriber has lost access to the room since
 * the pull.
 */
interface MembershipEvent {
  isNoLongerMember: (context: Context) => Promise<boolean>;
}

/**
 * Subscribes like GraphQL's `subscribe`, with two differences. Each event is executed in a new context, so that no
 * cached value of one event appears in the next. Each event is executed once for all subscribers of the same operation.
 *
 * Whether a result may be shared is observed for each event, not declared. If the first execution of an event reads
 * anything viewer-dependent, the event is executed separately for each subscriber. Personal fields are an exception:
 * they are completed in a copy of the shared result.
 *
 * If the stream fails, the next pull throws the error. Each transport reports the error in its own format.
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
  const subscription = new Subscription(args, events, execute, watch);
  if (events.startsAtOnce) {
    try {
      await subscription.executeFirst();
    } catch (error) {
      return { errors: [error instanceof GraphQLError ? error : locatedError(error, undefined)] };
    }
  }
  return toAsyncIterator(subscription);
}

/**
 * Source of the results of one subscription. An event is executed for this subscription alone, or shared with others.
 */
class Subscription implements Source<ExecutionResult> {
  readonly #args: ExecutionArgs;
  readonly #context: Context;
  readonly #events: Source<object>;
  readonly #execute: SubscriptionOptions['execute'];
  readonly #operation: SharedOperation | null;
  readonly #counters: Context['counters']['sse'];
  readonly #stopWatching: () => void;
  #state: 'open' | 'ended' = 'open';
  /** Event whose shared execution the subscription waits for. Null if the subscription is not waiting. */
  #held: SharedEvent | null = null;
  /** Shared results with the personal fields of this subscriber. Null while there are none. */
  #completed: WeakMap<object, ExecutionResult> | null = null;
  /** Error that ended the stream. Null after it has been thrown. */
  #reason: Error | null = null;
  #listener: (() => void) | null = null;
  /** Result that was executed during the setup. Null after it has been pulled. */
  #first: Next<ExecutionResult> = null;

  constructor(
    args: ExecutionArgs,
    events: Source<object>,
    execute: SubscriptionOptions['execute'],
    watch: SubscriptionOptions['watch'],
  ) {
    const context = args.contextValue as Context;
    [this.#args, this.#context, this.#events, this.#execute] = [args, context, events, execute];
    this.#counters = context.onDisconnect ? context.counters.sse : context.counters.websocket;
    this.#operation = context.sharedExecution.register(args);
    this.#stopWatching = watch((reason) => {
      this.#reason = reason;
      // A client that has disconnected does not pull again, so the resources are released now.
      this.end();
    });
  }

  onReady(listener: () => void): void {
    this.#listener = listener;
    this.#events.onReady(listener, this.#operation);
  }

  /**
   * Executes the first event. Called during the setup, whose operation slot limits how many of these executions one
   * client can run.
   */
  async executeFirst(): Promise<void> {
    this.#first = await pullPast(() => this.#pull());
  }

  /**
   * Returns whether a pull may return a result. True after the end, because the next pull must still throw the error
   * that ended the stream.
   */
  hasMore(): boolean {
    return this.#state === 'ended' || this.#first !== null || (this.#events.hasMore?.() ?? true);
  }

  pull(): MaybePromise<Next<ExecutionResult>> {
    const first = this.#first;
    if (first) {
      this.#first = null;
      return first;
    }
    return pullPast(() => this.#pull());
  }

  end(): void {
    if (this.#state === 'ended') return;
    [this.#state, this.#held] = ['ended', null];
    if (this.#operation) this.#context.sharedExecution.release(this.#operation);
    this.#stopWatching();
    this.#events.end();
  }

  #pull(): MaybePromise<Next<ExecutionResult> | undefined> {
    if (this.#state === 'ended') return this.#last();
    try {
      const pulled = this.#held
        ? this.#deliverShared(this.#held)
        : andThen(this.#events.pull(), (next) => this.#take(next));
      return pulled instanceof Promise ? pulled.catch((error: unknown) => this.#fail(error)) : pulled;
    } catch (error) {
      return this.#fail(error);
    }
  }

  #take(pulled: Next<object>): MaybePromise<Next<ExecutionResult> | undefined> {
    if (!pulled) return null;
    if (pulled.done) {
      this.end();
      return this.#last();
    }
    // The stream may have ended while the event was being loaded.
    if (this.#state === 'ended') return this.#last();
    const event = pulled.value;
    return this.#operation && isSharedEvent(event) ? this.#deliverShared(event) : this.#deliverOwn(event);
  }

  /** Executes an event for this subscriber alone. */
  #deliverOwn(event: object): MaybePromise<Next<ExecutionResult> | undefined> {
    this.#counters.unshared += 1;
    const execute = (rootValue: object, contextValue: Context) =>
      this.#execute({ ...this.#args, rootValue, contextValue });
    const result = isSnapshotEvent(event)
      ? this.#context.readConsistently(this.#context, async (own) => execute(await event.readIn(own), own))
      : execute(event, eventContext(this.#context));
    return andThen(result, (own) => this.#deliver(event, own));
  }

  /**
   * Delivers the shared result of an event. The first subscriber starts the execution. Returns null while the execution
   * is running.
   */
  #deliverShared(event: SharedEvent): MaybePromise<Next<ExecutionResult> | undefined> {
    const operation = this.#operation as SharedOperation;
    const run = operation.run(executedObject(event), () => this.#executeAhead(event, operation));
    if (!run.result) {
      this.#held = event;
      void run.ended.then(() => {
        this.#listener?.();
      });
      return null;
    }
    this.#held = null;
    const { executedFor, result, failure, personal, viewerDependent, isCurrent } = run.result;
    if ((viewerDependent && executedFor !== this.#args) || !isCurrent()) return this.#deliverOwn(event);
    if (!result) throw failure;
    return personal ? this.#deliverPersonal(event, personal, isCurrent) : this.#deliver(event, result);
  }

  /**
   * Completes the personal fields of a shared result. If that fails, executes the event for this subscriber: the
   * execution reports the error, or finds that the subscriber has lost access. Does the same if the result is outdated
   * when its fields have been loaded.
   */
  #deliverPersonal(
    event: SharedEvent,
    personal: PersonalResult,
    isCurrent: () => boolean,
  ): MaybePromise<Next<ExecutionResult> | undefined> {
    if (personal.isOfEvent) return this.#deliver(event, personal.completeFromEvent(event));
    const completed = this.#completed?.get(executedObject(event));
    if (completed) return this.#deliver(event, completed);
    return this.#completeAhead(event, personal).then(() => {
      if (this.#state === 'ended') return this.#last();
      const result = this.#completed?.get(executedObject(event));
      return result && isCurrent() ? this.#deliver(event, result) : this.#deliverOwn(event);
    });
  }

  /**
   * Completes the shared result of an event, and those of the following events that have already been executed. One
   * statement then loads their values, and their results are written in one chunk.
   */
  async #completeAhead(event: SharedEvent, personal: PersonalResult): Promise<void> {
    const context = eventContext(this.#context);
    const complete = async (of: SharedEvent, result: PersonalResult) => {
      // Ignores a failure: the event is then executed for this subscriber when it is delivered.
      const completed = await result.completeFor(context, of).catch(() => null);
      if (!completed) return;
      this.#completed ??= new WeakMap();
      this.#completed.set(executedObject(of), completed);
    };
    const ahead = this.#sharedAhead().map(async (next) => {
      const result = this.#operation?.resultOf(executedObject(next));
      if (result?.personal && !result.personal.isOfEvent && !result.viewerDependent)
        await complete(next, result.personal);
    });
    await Promise.all([complete(event, personal), ...ahead]);
  }

  /**
   * Executes an event, and starts to execute the following events that are already in memory. Their statements are then
   * batched, and their results are written in one chunk. Returns the result of the first event.
   */
  #executeAhead(event: SharedEvent, operation: SharedOperation): Promise<SharedResult> {
    const result = this.#executeForAll(executedObject(event));
    for (const next of this.#sharedAhead().map(executedObject)) operation.run(next, () => this.#executeForAll(next));
    return result;
  }

  /** Returns the following events that are already in memory and can be shared. */
  #sharedAhead(): SharedEvent[] {
    return (this.#events.lookahead?.() ?? []).filter(isSharedEvent);
  }

  async #executeForAll(event: object): Promise<SharedResult> {
    this.#counters.shared += 1;
    const args = this.#args;
    const tracking: ViewerTracking = { viewerWasRead: false, personalFields: [], checks: [] };
    const isCurrent = () => tracking.checks.every((check) => check());
    const contextValue = trackViewer(this.#context, tracking);
    try {
      const result = await this.#execute({ ...args, rootValue: event, contextValue });
      const { viewerWasRead, personalFields } = tracking;
      const failed = result.errors !== undefined;
      const personal = failed || personalFields.length === 0 ? null : new PersonalResult(result, personalFields);
      return { executedFor: args, result, personal, viewerDependent: viewerWasRead || failed, isCurrent };
    } catch (failure) {
      return { executedFor: args, result: null, failure, personal: null, viewerDependent: true, isCurrent };
    }
  }

  #deliver(event: object, result: ExecutionResult): MaybePromise<Next<ExecutionResult> | undefined> {
    const [error] = result.errors ?? [];
    if (error) return this.#skipIfNoLongerMember(event, error);
    this.#counters.delivered += 1;
    return { value: result, done: false };
  }

  /**
   * Skips a failed event if the subscriber is no longer a member of its room. Otherwise throws the error. A skipped
   * event would count as delivered, because the cursor of the next event lies after it.
   */
  async #skipIfNoLongerMember(event: object, error: Error): Promise<undefined> {
    if (!isMembershipEvent(event) || !(await event.isNoLongerMember(this.#context))) throw error;
  }

  /** Returns `done`. If an error ended the stream, the first call throws the error instead. */
  #last(): typeof done {
    const error = this.#reason;
    this.#reason = null;
    if (error) throw error;
    return done;
  }

  #fail(error: unknown): never {
    this.end();
    throw error;
  }
}

function isSharedEvent(event: object): event is SharedEvent {
  return 'isShared' in event && event.isShared === true;
}

/** Returns the object that is executed for all subscribers of an event. */
function executedObject(event: SharedEvent): object {
  return event.sharedAs ?? event;
}

function isSnapshotEvent(event: object): event is SnapshotEvent {
  return 'readIn' in event;
}

function isMembershipEvent(event: object): event is MembershipEvent {
  return 'isNoLongerMember' in event;
}
