import { createSourceEventStream, execute, type ExecutionArgs, type ExecutionResult } from 'graphql';

/**
 * GraphQL's `subscribe`, but each event is executed in a context of its own, so that nothing which was
 * read for one event is answered for the next.
 *
 * The result is a plain iterator: `return()` of an async generator would wait for a pending `next()`,
 * which in a quiet room never comes. One that fails throws; each transport says so in its own way.
 */
export async function subscribe<Context>(
  args: ExecutionArgs,
  freshContext: (context: Context) => Context,
): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return source;
  const events = source[Symbol.asyncIterator]();

  const results: AsyncIterableIterator<ExecutionResult> = {
    [Symbol.asyncIterator]: () => results,
    async next() {
      const { value, done } = (await events.next()) as IteratorResult<unknown, undefined>;
      if (done) return { value: undefined, done: true };
      const contextValue = freshContext(args.contextValue as Context);
      return { value: await execute({ ...args, rootValue: value, contextValue }), done: false };
    },
    async return() {
      await events.return?.();
      return { value: undefined, done: true };
    },
  };
  return results;
}
