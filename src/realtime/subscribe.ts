import { createSourceEventStream, type ExecutionArgs, type ExecutionResult } from 'graphql';
import type { Tally } from '../counts.ts';
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

/**
 * GraphQL's `subscribe`, but each event is executed in a context of its own, so that nothing which was
 * read for one event is answered for the next; and once for all who ask the same of it.
 *
 * Whether an answer may be shared is observed, not declared: if the first execution has read anything that depends on the
 * viewer, the others get their own, of this event and of those that follow.
 *
 * The result is a plain iterator: `return()` of an async generator would wait for a pending `next()`,
 * which in a quiet room never comes. One that fails throws; each transport says so in its own way.
 */
export async function subscribe<Context>(
  args: ExecutionArgs,
  stream: StreamContext<Context>,
): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return source;
  const events = source[Symbol.asyncIterator]();
  const question = stream.sharing.questionOf(args);
  const tally = stream.tally(args.contextValue as Context);

  async function run(event: unknown): Promise<ExecutionResult> {
    tally.own += 1;
    return stream.execute({ ...args, rootValue: event, contextValue: stream.fresh(args.contextValue as Context) });
  }

  async function runTogether(event: Shareable, asked: NonNullable<typeof question>): Promise<ExecutionResult> {
    const own = { first: false };
    const { result, personal } = await stream.sharing.once(event.origin, `${asked.key} ${event.cursor}`, async () => {
      own.first = true;
      const { context, wasPersonal } = stream.observe(args.contextValue as Context);
      tally.shared += 1;
      const answer = await stream.execute({ ...args, rootValue: event, contextValue: context });
      asked.personal ||= wasPersonal();
      // What failed for one need not fail for another.
      return { result: answer, personal: wasPersonal() || answer.errors !== undefined };
    });
    return own.first || !personal ? result : run(event);
  }

  let reason: Error | null = null;
  let over = false;
  const stopWatching = stream.watch(args.contextValue as Context, (why) => {
    reason = why;
    // Whoever has gone asks for nothing more: what the stream holds is given back now.
    void end();
  });
  async function end(): Promise<void> {
    if (over) return;
    over = true;
    stopWatching();
    await events.return?.();
  }
  /** The reason is said once; whoever asks on after a failure is told that it was the last. */
  function last(): IteratorResult<ExecutionResult> {
    const said = reason;
    reason = null;
    if (said) throw said;
    return { value: undefined, done: true };
  }

  const results: AsyncIterableIterator<ExecutionResult> = {
    [Symbol.asyncIterator]: () => results,
    async next() {
      if (over) return last();
      try {
        const { value, done } = (await events.next()) as IteratorResult<unknown, undefined>;
        if (!done) {
          const together = question && !question.personal && isShareable(value);
          const result = await (together ? runTogether(value, question) : run(value));
          // Whoever hears of the next event takes this one for read: what cannot be executed must not be skipped.
          if (result.errors?.[0]) throw result.errors[0];
          tally.delivered += 1;
          return { value: result, done: false };
        }
      } catch (error) {
        await end();
        throw error;
      }
      await end();
      return last();
    },
    async return() {
      await end();
      return { value: undefined, done: true };
    },
  };
  return results;
}

function isShareable(event: unknown): event is Shareable {
  return typeof event === 'object' && event !== null && 'origin' in event && event.origin instanceof Object;
}
