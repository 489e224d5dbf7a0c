import { AsyncResource } from 'node:async_hooks';
import DataLoader from 'dataloader';
import { once } from './once.ts';

/**
 * Creates a function that collects calls into batches. The calls of one turn of the event loop form a batch, which
 * starts at the end of the turn if fewer than `concurrency` batches are running. Otherwise the batch waits, and later
 * calls join it. Under load, many calls therefore share a statement, and writes share a commit (group commit).
 *
 * @param run returns one result per call, in the order of the calls; an `Error` rejects its own call only
 * @param options.concurrency maximum number of batches that run at a time
 * @param options.maxBatchSize maximum number of calls in one batch
 * @param options.delayMs time for which calls are collected before a batch, in milliseconds; by default, this turn of
 *   the event loop
 * @param options.patienceMs time after which a running batch no longer counts towards `concurrency`, in milliseconds
 */
export function createBatcher<Call, Result>(
  run: (calls: readonly Call[]) => Promise<readonly (Result | Error)[]>,
  {
    concurrency,
    maxBatchSize,
    delayMs = 0,
    patienceMs = Infinity,
  }: { concurrency: number; maxBatchSize: number; delayMs?: number; patienceMs?: number },
): (call: Call) => Promise<Result> {
  const waiting: (() => void)[] = [];
  let running = 0;

  const loader = new DataLoader<Call, Result>(
    (calls) => {
      const release = once(() => {
        running -= 1;
        start();
      });
      const timer = patienceMs < Infinity ? setTimeout(release, patienceMs) : undefined;
      return run(calls).finally(() => {
        clearTimeout(timer);
        release();
      });
    },
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
        // Starts at the end of this turn by default. The callers that continue after one batch then share the next batch.
        if (delayMs > 0) setTimeout(start, delayMs);
        else setImmediate(start);
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
