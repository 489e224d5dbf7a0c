import { AsyncResource } from 'node:async_hooks';
import DataLoader from 'dataloader';

/**
 * Creates a function that collects calls into batches. A call starts at once, alone, if fewer than `concurrency` batches are
 * running. Otherwise it waits and joins the next batch. Under load many calls share a statement, and writes share a
 * commit (group commit).
 *
 * @param run returns one result per call, in the order of the calls; an `Error` rejects its own call only
 * @param options.concurrency maximum number of batches that run at a time
 * @param options.maxBatchSize maximum number of calls in one batch
 */
export function createBatcher<Call, Result>(
  run: (calls: readonly Call[]) => Promise<readonly (Result | Error)[]>,
  { concurrency, maxBatchSize }: { concurrency: number; maxBatchSize: number },
): (call: Call) => Promise<Result> {
  const waiting: (() => void)[] = [];
  let running = 0;

  const loader = new DataLoader<Call, Result>(
    (calls) =>
      run(calls).finally(() => {
        running -= 1;
        start();
      }),
    {
      cache: false,
      maxBatchSize,
      batchScheduleFn(dispatch) {
        // Traces attribute a batch to the call that began it. `AsyncResource.bind` would cost more than all the rest of
        // this function.
        const resource = new AsyncResource('Batch');
        waiting.push(() => {
          resource.runInAsyncScope(dispatch);
        });
        // DataLoader adds the first call to the batch only after this callback returns.
        queueMicrotask(start);
      },
    },
  );

  function start(): void {
    while (running < concurrency) {
      const dispatch = waiting.shift();
      if (!dispatch) return;
      running += 1;
      dispatch();
    }
  }

  return (call) => loader.load(call);
}
