import { AsyncResource } from 'node:async_hooks';
import DataLoader from 'dataloader';
import { once } from './once.ts';

/**
 * Creates a function that collects calls into batches and passes each batch to `run`. A batch starts at the end of the
 * current turn of the event loop. While `concurrency` batches are running, the next batch waits and collects more
 * calls. Under load, many calls therefore share one statement and one commit (group commit).
 *
 * @param run returns one result per call, in the order of the calls; an `Error` rejects only the call at its position
 * @param options.concurrency maximum number of batches that run at a time
 * @param options.maxBatchSize maximum number of calls in one batch
 * @param options.delayMs time for which a batch collects calls before it starts, in milliseconds; by default, the
 *   current turn of the event loop
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
      // Released after the next read of sockets, because a busy event loop may not have read the result yet.
      const timer = patienceMs < Infinity ? setTimeout(() => setImmediate(release), patienceMs) : undefined;
      return run(calls).finally(() => {
        clearTimeout(timer);
        release();
      });
    },
    {
      cache: false,
      maxBatchSize,
      batchScheduleFn(dispatch) {
        // Runs the batch in the async context of its first call, so that traces attribute the batch to that call.
        // `AsyncResource.bind` would do the same, but takes longer than the rest of this function.
        const resource = new AsyncResource('Batch');
        waiting.push(() => {
          resource.runInAsyncScope(dispatch);
        });
        // Without a delay, the batch starts at the end of this turn. Callers that resume after the previous batch then
        // share this batch.
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
