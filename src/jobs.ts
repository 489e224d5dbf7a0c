import { Logger as WorkerLogger, run, runMigrations, type Task } from 'graphile-worker';
import type { Logger } from 'pino';
import { createPool } from './database/connections.ts';
import { type Database, sql } from './database/database.ts';

/** What can be queued, and what each job has to know. */
export interface Jobs {
  /** A mail with a new token to a user's address. */
  send_mail: { userId: string; purpose: 'VERIFY_EMAIL' | 'RESET_PASSWORD' };
  /** Clears away what was said in a room that has ended; queued by `end_room`. */
  clear_chatroom: { chatroomId: string };
  /** Finishes what `deleteAccount` has begun. */
  delete_account: { userId: string };
  /** Ends sessions whose refresh token has expired; every five minutes. */
  end_sessions: object;
  /** Clears away what is too old; each hour. */
  prune: object;
  /** Finds who is to be told of a message; queued by `send_message` itself. */
  push_message: { chatroomId: string; number: number };
  /** Tells one device of a message. */
  push_device: { deviceId: string; chatroomId: string; number: number };
}

/** A job that fails is run again, after 1 s, 3 s, 7 s … up to this many times: within three hours. */
const MOST_ATTEMPTS = 12;

/** Queues a job, in the transaction of `query`: it runs if that commits. */
export async function queueJob<Name extends keyof Jobs>(
  query: Database['query'],
  name: Name,
  payload: Jobs[Name],
  /** Of jobs with the same key that wait, one is left. */
  { key = null, delaySeconds = 0 }: { key?: string | null; delaySeconds?: number } = {},
): Promise<void> {
  await query(sql`
    SELECT FROM graphile_worker.add_job(
      ${name}, ${JSON.stringify(payload)}::json, max_attempts => ${MOST_ATTEMPTS}::int, job_key => ${key},
      run_at => now() + make_interval(secs => ${delaySeconds}))`);
}

/** Queues a mail. Asking again for one that waits to be sent makes no second one. */
export async function queueMail(query: Database['query'], mail: Jobs['send_mail']): Promise<void> {
  await queueJob(query, 'send_mail', mail, { key: `${mail.purpose} ${mail.userId}` });
}

/** Makes the queue's own tables; at the same time as the migrations. */
export async function migrateJobs(databaseUrl: string, log?: Logger): Promise<void> {
  const pool = createPool(databaseUrl, { max: 1, application_name: 'parley migrations' });
  try {
    await runMigrations({ pgPool: pool, logger: workerLogger(log) });
  } finally {
    await pool.end();
  }
}

/** Runs what is queued, on this node beside others. Answers a function that finishes what is under way and stops. */
export async function startJobs(options: {
  databaseUrl: string;
  log: Logger;
  /** Told of each job that was run. */
  onRun: (task: string, outcome: 'done' | 'failed') => void;
  tasks: { [Name in keyof Jobs]: (payload: Jobs[Name]) => Promise<void> };
}): Promise<() => Promise<void>> {
  const taskList = Object.fromEntries(
    Object.entries(options.tasks).map(([name, task]): [string, Task] => [
      name,
      async (payload) => {
        try {
          await task(payload as never);
        } catch (error) {
          options.onRun(name, 'failed');
          throw error;
        }
        options.onRun(name, 'done');
      },
    ]),
  );
  const pool = createPool(options.databaseUrl, {
    max: 3,
    application_name: 'parley jobs',
    onError: (error) => {
      options.log.debug({ err: error }, 'A database connection of the queue broke.');
    },
  });
  const runner = await run({
    pgPool: pool,
    concurrency: 2,
    noHandleSignals: true,
    logger: workerLogger(options.log),
    taskList,
    crontab: '23 * * * * prune\n*/5 * * * * end_sessions',
  });
  return async () => {
    await runner.stop();
    await runner.promise;
    await pool.end();
  };
}

/** The queue's own log, in ours: what it says of each job is for debugging, but a job that fails is worth a warning. */
function workerLogger(log: Logger | undefined): WorkerLogger {
  return new WorkerLogger(() => (level: string, message, meta) => {
    if (level === 'error') log?.warn({ meta: (meta as { failure?: unknown } | undefined)?.failure }, message);
    else log?.debug(message);
  });
}
