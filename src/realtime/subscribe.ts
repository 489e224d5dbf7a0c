import { createSourceEventStream, type ExecutionArgs, type ExecutionResult } from 'graphql';
import type { Tally } from '../counts.ts';
import {
  asSource,
  asStream,
  done,
  isSource,
  type MaybePromise,
  proceed,
  type Pulled,
  skip,
  type Stream,
} from './pull.ts';
import type { Question, Sharing } from './sharing.ts';

interface Observed<Context> {
  context: Context;
  wasPersonal: () => boolean;
}

/** What subscriptions need of a context, without knowing what is in it. */
export interface StreamContext<Context> {
  sharing: Sharing;
  /** Executes one event, or throws where that takes too long. */
  execute(args: ExecutionArgs): Promise<ExecutionResult> | ExecutionResult;
  /** The same operation with nothing remembered, in which one event is executed. */
  fresh(context: Context): Context;
  /** The same, and whether anything in it was read that depends on who asks. */
  observe(context: Context): Observed<Context>;
  /** What counts what is sent to this subscriber. */
  tally(context: Context): Tally;
  /** Calls back when the stream must end, with the reason or, where it is just over, null; answers a function that ends it. */
  watch(context: Context, onEnd: (reason: Error | null) => void): () => void;
}

/** An event that is told: the same object to all who are handed it, where it has an origin. */
interface Shareable {
  origin: object;
}

/** An event that its subscriber may have lost the right to between its being taken and its execution, which then fails. */
interface Losable<Context> {
  isLost: (context: Context) => Promise<boolean>;
}

/** What one subscriber has executed, and others may be told. */
interface Answer {
  of: ExecutionArgs;
  /** What it came to; or why it did not come to anything. */
  result: ExecutionResult | null;
  failure?: unknown;
  /** It is for that subscriber alone: something was read that depends on the viewer, or it failed, as it need not for others. */
  personal: boolean;
}

/**
 * GraphQL's `subscribe`, but each event is executed in a context of its own, so that nothing which was
 * read for one event is answered for the next; and once for all who ask the same of it.
 *
 * Whether an answer may be shared is observed, not declared: if the first execution has read anything that depends on the
 * viewer, the others get their own, of this event and of those that follow.
 *
 * A stream that fails throws; each transport says so in its own way.
 */
export async function subscribe<Context>(
  args: ExecutionArgs,
  stream: StreamContext<Context>,
): Promise<Stream<ExecutionResult> | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return source;
  const events = isSource(source)
    ? source
    : asSource(source[Symbol.asyncIterator]() as AsyncIterator<object, undefined>);
  const { hasMore } = events;
  const asking = stream.sharing.questionOf(args);
  const question = asking?.question ?? null;
  const context = args.contextValue as Context;
  const tally = stream.tally(context);

  function run(event: object): MaybePromise<Pulled<ExecutionResult> | undefined> {
    tally.own += 1;
    const result = stream.execute({ ...args, rootValue: event, contextValue: stream.fresh(context) });
    return proceed(result, (own) => hand(event, own));
  }

  async function runForAll(event: object, asked: Question, observed: Observed<Context>): Promise<Answer> {
    tally.shared += 1;
    try {
      const result = await stream.execute({ ...args, rootValue: event, contextValue: observed.context });
      return { of: args, result, personal: observed.wasPersonal() || result.errors !== undefined };
    } catch (failure) {
      return { of: args, result: null, failure, personal: true };
    } finally {
      asked.personal ||= observed.wasPersonal();
    }
  }

  /** What comes next goes along: it is read with the same statements, and goes out in one piece with this one. */
  function runWithUpcoming(event: object, asked: Question): Promise<Answer> {
    const observed = stream.observe(context);
    const answer = runForAll(event, asked, observed);
    for (const next of events.upcoming?.() ?? [])
      stream.sharing.ask(next, asked, () => runForAll(next, asked, observed));
    return answer;
  }

  /** The event whose answer somebody else is having made. */
  let held: object | null = null;
  let onReady = () => {};
  const goOn = () => {
    onReady();
  };

  let reason: Error | null = null;
  let over = false;
  const stopWatching = stream.watch(context, (why) => {
    reason = why;
    // Whoever has gone asks for nothing more: what the stream holds is given back now.
    end();
  });
  function end(): void {
    if (over) return;
    over = true;
    held = null;
    stopWatching();
    asking?.release();
    events.end();
  }
  /** The reason is said once; whoever asks on after a failure is told that it was the last. */
  function last(): typeof done {
    const said = reason;
    reason = null;
    if (said) throw said;
    return done;
  }
  function fail(error: unknown): never {
    end();
    throw error;
  }

  function pull(): MaybePromise<Pulled<ExecutionResult> | undefined> {
    if (over) return last();
    try {
      const pulled = held ? answer(held) : proceed(events.pull(), take);
      return pulled instanceof Promise ? pulled.catch(fail) : pulled;
    } catch (error) {
      return fail(error);
    }
  }

  function take(pulled: Pulled<object>): MaybePromise<Pulled<ExecutionResult> | undefined> {
    if (!pulled) return null;
    if (!pulled.done) return answer(pulled.value);
    end();
    return last();
  }

  function answer(event: object): MaybePromise<Pulled<ExecutionResult> | undefined> {
    const together = question !== null && isShareable(event) && (held === event || !question.personal);
    held = null;
    if (!together) return run(event);
    const shared = stream.sharing.ask(event, question, () => runWithUpcoming(event, question), goOn);
    if (!shared) {
      held = event;
      return null;
    }
    const { of, result, failure, personal } = shared;
    if (personal && of !== args) return run(event);
    if (!result) throw failure;
    return hand(event, result);
  }

  function hand(event: object, result: ExecutionResult): MaybePromise<Pulled<ExecutionResult> | undefined> {
    const [error] = result.errors ?? [];
    if (error) return passOver(event, error);
    tally.delivered += 1;
    return { value: result, done: false };
  }

  /** Whoever hears of the next event takes this one for read: what cannot be executed is passed over only if it is theirs no more. */
  async function passOver(event: object, error: Error): Promise<undefined> {
    if (!isLosable<Context>(event) || !(await event.isLost(context))) throw error;
  }

  return asStream({
    pull: () => skip(pull),
    onReady(listener) {
      onReady = listener;
      events.onReady(listener);
    },
    // Whoever is asked to end, and is in the middle of being pulled, says so when pulled again.
    hasMore: hasMore && (() => over || hasMore()),
    end,
  });
}

function isShareable(event: object): event is Shareable {
  return 'origin' in event && event.origin instanceof Object;
}

function isLosable<Context>(event: object): event is Losable<Context> {
  return 'isLost' in event;
}
