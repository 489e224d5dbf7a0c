import { createBatcher } from '../../core/batcher.ts';
import { type Context, contextIn, type ServerNode } from '../../core/context.ts';
import type { Database } from './database.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    readConsistently: ConsistentReads;
  }
}

/** An event of a stream that is read and executed in one state of the database. */
export interface SnapshotEvent<Event extends object = object> {
  /** Returns the event as it is in the state that the context reads. May be called again if the transaction fails. */
  readIn: (own: Context) => Promise<Event>;
}

/**
 * Runs a read in one state of the database: no commit can happen between two of its statements.
 *
 * @param context context of the caller
 * @param read must read only through the context that it receives
 */
export type ConsistentReads = <Result>(context: Context, read: (own: Context) => Promise<Result>) => Promise<Result>;

/**
 * Reads that arrive together share a transaction and its loaders. Two connections normally serve all of them. After 100 ms,
 * a running transaction no longer delays others, so that a slow read of one client does not stop the rest.
 */
const BATCHES = { concurrency: 2, maxBatchSize: 100, patienceMs: 100 };

interface Call {
  context: Context;
  read: (own: Context) => Promise<unknown>;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
}

/** Creates the consistent reads of one node. */
export function createConsistentReads(database: Database): ConsistentReads {
  const start = createBatcher<Call, null>(async (calls) => {
    const again = await runTogether(database, calls);
    for (const call of again) await runTogether(database, [call]);
    return calls.map(() => null);
  }, BATCHES);
  return <Result>(context: Context, read: (own: Context) => Promise<Result>) =>
    new Promise<Result>((resolve, reject) => {
      void start({ context, read, resolve: resolve as Call['resolve'], reject });
    });
}

/**
 * Runs reads in one transaction. A failed statement fails every later statement of the transaction. If several clients
 * share the transaction, the reads that had not ended by then are returned, to be run alone.
 */
async function runTogether(database: Database, calls: readonly Call[]): Promise<Call[]> {
  const again: Call[] = [];
  try {
    await database.readInOneState(async (state) => {
      const [first] = calls;
      const reader = Object.create(first?.context.node ?? null, { database: { value: state.database } }) as ServerNode;
      await Promise.all(
        calls.map(async (call) => {
          const settle = await call.read(contextIn(call.context, reader, state.snapshot)).then(
            (result) => () => {
              call.resolve(result);
            },
            (error: unknown) => () => {
              call.reject(error);
            },
          );
          if (state.hasFailed() && calls.length > 1) again.push(call);
          else settle();
        }),
      );
    });
  } catch (error) {
    // The transaction did not begin, or its connection was lost. Calls that have been settled ignore the error.
    for (const call of calls) call.reject(error);
    return [];
  }
  return again;
}
