import { Logger as WorkerLogger, run, runMigrations, type Task } from 'graphile-worker';
import type { Logger } from 'pino';
import { createPool } from './database/connections.ts';
import { type Database, sql } from './database/database.ts';
import type { MailPurpose } from './database/generated/enums.ts';

/** What can be queued, and what each job has to know. */
export interface Jobs {
  /** A mail about a user's account. Run by nodes that can send mail. */
  send_mail: {
    userId: string;
    purpose: MailPurpose | 'PASSWORD_CHANGED';
    /** Of UNDO_EMAIL_CHANGE: the verified address that was replaced, to which the mail goes. */
    former?: { email: string; key: string };
  };
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

/** Queues a mail. Of equal mails that wait to be sent, one is kept. */
export async function queueMail(query: Database['query'], mail: Jobs['send_mail']): Promise<void> {
  const { purpose, userId, former } = mail;
  await queueJob(query, 'send_mail', mail, { key: [purpose, userId, ...(former ? [former.key] : [])].join(' ') });
}

/** How long a mail waits for a node that can send it, in hours. Later it would only confuse. */
const MAIL_WAITS_HOURS = 48;

/** Deletes mails that no node could send in time, such as when SMTP_URL is set on no node. */
export async function pruneMails({ query }: Pick<Database, 'query'>): Promise<void> {
  await query(sql`
    SELECT FROM graphile_worker.complete_jobs(ARRAY(
      SELECT id FROM graphile_worker.jobs
        WHERE task_identifier = 'send_mail' AND locked_at IS NULL
          AND created_at < now() - make_interval(hours => ${MAIL_WAITS_HOURS})))`);
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

type Tasks = { [Name in keyof Jobs]: (payload: Jobs[Name]) => Promise<void> };

/** Jobs of one node that run at the same time, for each of its two queues. */
const CONCURRENCY = 2;

/**
 * Runs queued jobs on this node beside others. Mail has a runner of its own, so that a hung mail server delays no push.
 *
 * @returns a function that finishes the jobs in progress and stops
 */
export async function startJobs(options: {
  databaseUrl: string;
  log: Logger;
  /** Called after each job that was run. */
  onRun: (task: string, outcome: 'done' | 'failed') => void;
  /** Without `send_mail` on a node that cannot send mail: another node takes those jobs. */
  tasks: Omit<Tasks, 'send_mail'> & Partial<Pick<Tasks, 'send_mail'>>;
}): Promise<() => Promise<void>> {
  const { send_mail: sendMail, ...others } = options.tasks;
  // Each runner listens on one connection, and borrows one to take and to finish jobs.
  const pool = createPool(options.databaseUrl, {
    max: 5,
    application_name: 'parley jobs',
    onError: (error) => {
      options.log.debug({ err: error }, 'A database connection of the queue broke.');
    },
  });
  const start = (tasks: Partial<Tasks>, crontab?: string) =>
    run({
      pgPool: pool,
      concurrency: CONCURRENCY,
      noHandleSignals: true,
      logger: workerLogger(options.log),
      taskList: listTasks(tasks, options.onRun),
      ...(crontab === undefined ? {} : { crontab }),
    });
  const runners = await Promise.all([
    start(others, '23 * * * * prune\n*/5 * * * * end_sessions'),
    ...(sendMail ? [start({ send_mail: sendMail })] : []),
  ]);
  return async () => {
    await Promise.all(runners.map((runner) => runner.stop()));
    await Promise.all(runners.map((runner) => runner.promise));
    await pool.end();
  };
}

function listTasks(tasks: Partial<Tasks>, onRun: (task: string, outcome: 'done' | 'failed') => void) {
  return Object.fromEntries(
    Object.entries(tasks).map(([name, task]): [string, Task] => [
      name,
      async (payload) => {
        try {
          await task(payload as never);
        } catch (error) {
          onRun(name, 'failed');
          throw error;
        }
        onRun(name, 'done');
      },
    ]),
  );
}

/** The queue's own log, in ours: what it says of each job is for debugging, but a job that fails is worth a warning. */
function workerLogger(log: Logger | undefined): WorkerLogger {
  return new WorkerLogger(() => (level: string, message, meta) => {
    if (level === 'error') log?.warn({ meta: (meta as { failure?: unknown } | undefined)?.failure }, message);
    else log?.debug(message);
  });
}
