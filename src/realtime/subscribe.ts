import { createSourceEventStream, execute, type ExecutionArgs, type ExecutionResult } from 'graphql';

/**
 * GraphQL's `subscribe`, but each event is executed in a context of its own, so that nothing which was
 * read for one event is answered for the next.
 *
 * The result is a plain iterator: `return()` of an async generator would wait for a pending `next()`,
 * which in a quiet room never comes. One that fails throws; each transport says so in its own way.
 *
 * @param watch calls back when the stream must end, with the reason or, where it is just over, null; answers a function
 *   that ends the watching
 */
export async function subscribe<Context>(
  args: ExecutionArgs,
  freshContext: (context: Context) => Context,
  watch: (context: Context, onEnd: (reason: Error | null) => void) => () => void,
): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return source;
  const events = source[Symbol.asyncIterator]();

  let reason: Error | null = null;
  let over = false;
  const stopWatching = watch(args.contextValue as Context, (why) => {
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
          const contextValue = freshContext(args.contextValue as Context);
          return { value: await execute({ ...args, rootValue: value, contextValue }), done: false };
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
