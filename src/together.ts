import { AsyncResource } from 'node:async_hooks';
import DataLoader from 'dataloader';

/**
 * Makes a function that does together what is asked while earlier asks are under way. Nobody waits for others to come: what
 * finds room goes at once, alone. Under load many share a statement, and for a write a commit (a group commit).
 *
 * @param run answers each, in order; an error rejects its ask alone
 * @param options.atOnce how many runs there are at a time
 * @param options.most how many are asked in one run
 */
export function createTogether<Ask, Answer>(
  run: (asks: readonly Ask[]) => Promise<readonly (Answer | Error)[]>,
  { atOnce, most }: { atOnce: number; most: number },
): (ask: Ask) => Promise<Answer> {
  const waiting: (() => void)[] = [];
  let underWay = 0;

  const loader = new DataLoader<Ask, Answer>(
    (asks) =>
      run(asks).finally(() => {
        underWay -= 1;
        start();
      }),
    {
      cache: false,
      maxBatchSize: most,
      batchScheduleFn(dispatch) {
        // What traces a run belongs to who began it. (Not `AsyncResource.bind`, which costs more than all else here.)
        const beginning = new AsyncResource('Together');
        waiting.push(() => {
          beginning.runInAsyncScope(dispatch);
        });
        // The loader puts the first ask into the batch after this.
        queueMicrotask(start);
      },
    },
  );

  function start(): void {
    while (underWay < atOnce) {
      const dispatch = waiting.shift();
      if (!dispatch) return;
      underWay += 1;
      dispatch();
    }
  }

  return (ask) => loader.load(ask);
}
