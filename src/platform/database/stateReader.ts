import type pg from 'pg';
import type { Prisma } from './generated/client.ts';

/** Begins a transaction whose statements see one state of the database, and returns that state in the same round trip. */
export const BEGIN_IN_ONE_STATE =
  'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT flushed_snapshot()::text AS snapshot';

/** Returns the snapshot in the results of {@link BEGIN_IN_ONE_STATE}. */
export function snapshotIn(results: unknown): string {
  const [, selected] = results as pg.QueryResult<{ snapshot: string }>[];
  const [row] = selected?.rows ?? [];
  if (!row) throw new Error('PostgreSQL returned no snapshot.');
  return row.snapshot;
}

/** Runs a statement and returns its rows. */
type Query = <Row extends object>(statement: Prisma.Sql) => Promise<Row[]>;

/** Runs the statements of one read-only transaction, one after the other. */
export class StateReader {
  readonly #run: (statement: pg.QueryConfig) => Promise<pg.QueryResult>;
  readonly #prepare: (text: string) => { name: string; text: string };
  #last: Promise<unknown> = Promise.resolve();
  #state: 'open' | 'failed' | 'ended' = 'open';

  /**
   * @param run runs a statement on the connection of the transaction
   * @param prepare returns the name and the text of a prepared statement
   */
  constructor(
    run: (statement: pg.QueryConfig) => Promise<pg.QueryResult>,
    prepare: (text: string) => { name: string; text: string },
  ) {
    [this.#run, this.#prepare] = [run, prepare];
  }

  readonly query: Query = (statement) => this.#inTurn(() => this.#query(statement));

  readonly prepared: Query = ({ text, values }) => this.#inTurn(() => this.#rows({ ...this.#prepare(text), values }));

  /** Runs `work` without other statements in between. Its settings end with it, and its failure fails nothing else. */
  transaction<Result>(work: (query: Query) => Promise<Result>): Promise<Result> {
    return this.#inTurn(async () => {
      await this.#rows({ text: 'SAVEPOINT nested' });
      try {
        return await work((statement) => this.#query(statement));
      } finally {
        // Also after a success, because nothing has been written.
        await this.#rows({ text: 'ROLLBACK TO SAVEPOINT nested' });
      }
    }, 'isolated');
  }

  /** Returns whether a statement has failed. Every later statement of the transaction then fails, too. */
  hasFailed(): boolean {
    return this.#state === 'failed';
  }

  /** Waits for the running statement. Later statements fail, because the connection is returned to the pool. */
  async end(): Promise<void> {
    this.#state = 'ended';
    await this.#last;
  }

  #query<Row extends object>({ text, values }: Prisma.Sql): Promise<Row[]> {
    return this.#rows({ text, values });
  }

  async #rows<Row extends object>(statement: pg.QueryConfig): Promise<Row[]> {
    return (await this.#run(statement)).rows as Row[];
  }

  #inTurn<Result>(run: () => Promise<Result>, failure: 'fatal' | 'isolated' = 'fatal'): Promise<Result> {
    const result = this.#last.then(() => {
      if (this.#state === 'ended') throw new Error('The transaction of this read has ended.');
      return run();
    });
    this.#last = result.catch(() => {
      if (this.#state === 'open' && failure === 'fatal') this.#state = 'failed';
    });
    return result;
  }
}
