import { runStatement } from '../test/support/statement.ts';
import { METRICS_TOKEN } from './stacks.ts';

/** Returns the number of SQL statements of all clients of a database so far, without the start and end of transactions. */
export async function countStatements(databaseUrl: string): Promise<number> {
  const [row] = await runStatement<{ calls: string }>(
    databaseUrl,
    `SELECT coalesce(sum(calls), 0) AS calls FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
       WHERE d.datname = current_database() AND query !~* '^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|DEALLOCATE)'`,
  );
  return Number(row?.calls);
}

/** Returns the number of executions of subscription events on a node of Parley so far, shared or for one subscriber. */
export async function countExecutions(url: string): Promise<number> {
  const response = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${METRICS_TOKEN}` } });
  const text = await response.text();
  const counters = [...text.matchAll(/^parley_event_executions_total\{transport="websocket".*\} (\d+)$/gm)];
  if (counters.length === 0) throw new Error(`/metrics has no executions: ${response.status} ${text.slice(0, 200)}`);
  return counters.reduce((sum, [, value]) => sum + Number(value), 0);
}
