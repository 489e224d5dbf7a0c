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
import type { Sharing } from './sharing.ts';

/** What subscriptions need of a context, without knowing what is in it. */
export interface StreamContext<Context> {
  sharing: Sharing;
  /** Executes one event, or throws where that takes too long. */
  execute(args: ExecutionArgs): Promise<ExecutionResult> | ExecutionResult;
  /** The same operation with nothing remembered, in which one event is executed. */
  fresh(context: Context): Context;
  /** The same, and whether anything in it was read that depends on who asks. */
  observe(context: Context): { context: Context; wasPersonal: () => boolean };
  /** What counts what is sent to this subscriber. */
  tally(context: Context): Tally;
  /** Calls back when the stream must end, with the reason or, where it is just over, null; answers a function that ends it. */
  watch(context: Context, onEnd: (reason: Error | null) => void): () => void;
}

/** An event of which some subscribers may be told the same. */
interface Shareable {
  /** The same object for all who are handed the event. */
  origin: object;
  /** It may differ, and is part of what is told. */
  cursor: string;
}

/** An event that its subscriber may have lost the right to between its being taken and its execution, which then fails. */
interface Losable {
  isLost: () => Promise<boolean>;
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
  const question = stream.sharing.questionOf(args);
  const tally = stream.tally(args.contextValue as Context);

  function run(event: object): MaybePromise<ExecutionResult> {
    tally.own += 1;
    return stream.execute({ ...args, rootValue: event, contextValue: stream.fresh(args.contextValue as Context) });
  }

  function runTogether(event: Shareable, asked: NonNullable<typeof question>): MaybePromise<ExecutionResult> {
    let first = false;
    const shared = stream.sharing.once(event.origin, `${asked.key} ${event.cursor}`, async () => {
      first = true;
      const { context, wasPersonal } = stream.observe(args.contextValue as Context);
      tally.shared += 1;
      const result = await stream.execute({ ...args, rootValue: event, contextValue: context });
      asked.personal ||= wasPersonal();
      // What failed for one need not fail for another.
      return { result, personal: wasPersonal() || result.errors !== undefined };
    });
    return proceed(shared, ({ result, personal }) => (first || !personal ? result : run(event)));
  }

  let reason: Error | null = null;
  let over = false;
  const stopWatching = stream.watch(args.contextValue as Context, (why) => {
    reason = why;
    // Whoever has gone asks for nothing more: what the stream holds is given back now.
    end();
  });
  function end(): void {
    if (over) return;
    over = true;
    stopWatching();
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
      const pulled = proceed(events.pull(), answer);
      return pulled instanceof Promise ? pulled.catch(fail) : pulled;
    } catch (error) {
      return fail(error);
    }
  }

  function answer(pulled: Pulled<object>): MaybePromise<Pulled<ExecutionResult> | undefined> {
    if (!pulled) return null;
    if (pulled.done) {
      end();
      return last();
    }
    const { value: event } = pulled;
    const together = question && !question.personal && isShareable(event);
    return proceed(together ? runTogether(event, question) : run(event), (result) => {
      const [error] = result.errors ?? [];
      if (error) return passOver(event, error);
      tally.delivered += 1;
      return { value: result, done: false };
    });
  }

  /** Whoever hears of the next event takes this one for read: what cannot be executed is passed over only if it is theirs no more. */
  async function passOver(event: object, error: Error): Promise<undefined> {
    if (!isLosable(event) || !(await event.isLost())) throw error;
  }

  return asStream({ pull: () => skip(pull), onReady: events.onReady, end });
}

function isShareable(event: object): event is Shareable {
  return 'origin' in event && event.origin instanceof Object;
}

function isLosable(event: object): event is Losable {
  return 'isLost' in event;
}
