import { Logger as WorkerLogger, run, runMigrations, type Task } from 'graphile-worker';
import type { Logger } from 'pino';
import { createPool } from './database/connections.ts';
import { type Database, sql } from './database/database.ts';
import type { MailPurpose } from './database/generated/enums.ts';

/** Payload of each job, by the name of its task. */
export interface Jobs {
  /** Sends a mail about a user's account. Runs on nodes that can send mail. */
  send_mail: {
    userId: string;
    purpose: MailPurpose | 'PASSWORD_CHANGED';
    /** Only for UNDO_EMAIL_CHANGE: the verified address that was replaced. The mail goes to this address. */
    former?: { email: string; key: string };
  };
  /** Deletes the content of a room that has ended. Queued by the SQL function `end_room`. */
  clear_chatroom: { chatroomId: string };
  /** Finishes the deletion that `deleteAccount` began. */
  delete_account: { userId: string };
  /** Ends sessions whose refresh token has expired. Runs every five minutes. */
  end_sessions: object;
  /** Deletes data that is past its retention. Runs every hour. */
  prune: object;
  /** Selects the devices to notify of a message. Queued by the SQL function `store_message`. */
  push_message: { chatroomId: string; number: number };
  /** Sends a push notification about a message to one device. */
  push_device: { deviceId: string; chatroomId: string; number: number };
  /**
   * Finds previews for the links of a message. Queued by the SQL function `store_message`. `delays` is the number of times
   * that the job was delayed because too many pages were requested.
   */
  preview_links: { chatroomId: string; number: number; delays?: number };
  /** Downloads the avatar of a user. Queued by `upsertUsers`. */
  fetch_avatar: { userId: string; url: string };
  /** Scans an uploaded file, and creates the variants of an image. `kills` is the number of nodes that died meanwhile. */
  process_attachment: { attachmentId: string; kills?: number };
  /**
   * Deletes the objects of an attachment from the file store: all of them, or one object. Queued by a trigger when the
   * attachment is deleted. `attachmentId` also is the id of a page, whose image is deleted.
   */
  delete_file: { attachmentId: string; object?: string };
  /** Queues the processing of uploaded files again whose node was killed. Runs every five minutes. */
  resume_processing: object;
  /** Deletes uploads that were not sent, and objects that belong to no attachment or page. Runs every hour. */
  clean_files: object;
}

/**
 * Maximum number of attempts of a job. Retries follow after 3 s, 7 s, 20 s and so on, at most 6 hours apart. The last
 * attempt is about 16 hours after the first.
 */
const MAX_ATTEMPTS = 12;

/** Queues a job in the transaction of `query`. The job runs only if the transaction commits. */
export async function queueJob<Name extends keyof Jobs>(
  query: Database['query'],
  name: Name,
  payload: Jobs[Name],
  /** A job replaces a waiting job with the same key. */
  { key = null, delaySeconds = 0 }: { key?: string | null; delaySeconds?: number } = {},
): Promise<void> {
  await query(sql`
    SELECT FROM graphile_worker.add_job(
      ${name}, ${JSON.stringify(payload)}::json, max_attempts => ${MAX_ATTEMPTS}::int, job_key => ${key},
      run_at => now() + make_interval(secs => ${delaySeconds}))`);
}

/** Queues a mail. Replaces an equal mail that is still waiting. */
export async function queueMail(query: Database['query'], mail: Jobs['send_mail']): Promise<void> {
  const { purpose, userId, former } = mail;
  await queueJob(query, 'send_mail', mail, { key: [purpose, userId, ...(former ? [former.key] : [])].join(' ') });
}

/**
 * Maximum time that a mail waits for a node that can send it, in hours. An older mail is deleted, because it would only
 * confuse its recipient.
 */
const MAX_MAIL_AGE_HOURS = 48;

/** Deletes mails that no node could send in time, for example because SMTP_URL is set on no node. */
export async function pruneMails({ query }: Pick<Database, 'query'>): Promise<void> {
  await query(sql`
    SELECT FROM graphile_worker.complete_jobs(ARRAY(
      SELECT id FROM graphile_worker.jobs
        WHERE task_identifier = 'send_mail' AND locked_at IS NULL
          AND created_at < now() - make_interval(hours => ${MAX_MAIL_AGE_HOURS})))`);
}

/**
 * Queues the jobs of a task again whose last attempt has failed.
 *
 * @returns the number of these jobs
 */
export async function retryFailedJobs({ query }: Pick<Database, 'query'>, name: keyof Jobs): Promise<number> {
  const jobs = await query(sql`
    SELECT FROM graphile_worker.reschedule_jobs(
      ARRAY(SELECT id FROM graphile_worker.jobs WHERE task_identifier = ${name} AND attempts >= max_attempts),
      run_at => now(), attempts => 0)`);
  return jobs.length;
}

/** Creates or upgrades the tables of the job queue. Call it together with the migrations. */
export async function migrateJobs(databaseUrl: string, log?: Logger): Promise<void> {
  const pool = createPool(databaseUrl, { max: 1, application_name: 'parley migrations' });
  try {
    await runMigrations({ pgPool: pool, logger: workerLogger(log) });
  } finally {
    await pool.end();
  }
}

/** Tasks that only some nodes can run: those that can send mail, and those with a file store. */
type OptionalTask =
  | 'send_mail'
  | 'clean_files'
  | 'delete_file'
  | 'process_attachment'
  | 'resume_processing'
  | 'fetch_avatar';

type Tasks = { [Name in keyof Jobs]: (payload: Jobs[Name]) => Promise<void> };

/** Jobs that run periodically, with their times in the format of cron. */
const SCHEDULE = [
  { at: '23 * * * *', task: 'prune' },
  { at: '*/5 * * * *', task: 'end_sessions' },
  { at: '*/5 * * * *', task: 'resume_processing' },
  { at: '41 * * * *', task: 'clean_files' },
] as const;

/** Maximum number of jobs that each runner of a node executes at a time. */
const CONCURRENCY = 2;
/** Maximum number of database connections of all runners of a node: one listens for each of the four runners. */
export const MAX_JOB_CONNECTIONS = 6;

/**
 * Runs queued jobs on this node. Several nodes share the queue. Mails, downloads and uploaded files have runners of their
 * own, so that a hung mail server, slow web pages, large images or a hung clamd do not delay push notifications.
 *
 * @returns a function that finishes the jobs in progress and stops
 */
export async function startJobs(options: {
  databaseUrl: string;
  log: Logger;
  /** Whether this node runs the jobs of {@link SCHEDULE}. */
  isPeriodic: boolean;
  /** Called after each job. */
  onRun: (task: string, outcome: 'done' | 'failed') => void;
  /** Functions that run the jobs. Jobs of a task that this node omits are run by another node. */
  tasks: Omit<Tasks, OptionalTask> & Partial<Pick<Tasks, OptionalTask>>;
}): Promise<() => Promise<void>> {
  const {
    send_mail: sendMail,
    preview_links: previewLinks,
    fetch_avatar: fetchAvatar,
    process_attachment: processAttachment,
    ...others
  } = options.tasks;
  // Each runner listens on one connection, and borrows further connections to fetch and complete jobs.
  const pool = createPool(options.databaseUrl, {
    max: MAX_JOB_CONNECTIONS,
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
    start(
      others,
      SCHEDULE.filter(({ task }) => options.isPeriodic && others[task])
        // A job that fails runs again at its next time, and replaces the failed one.
        .map(({ at, task }) => `${at} ${task} ?max=1&jobKey=${task}`)
        .join('\n'),
    ),
    start({ preview_links: previewLinks, ...(fetchAvatar ? { fetch_avatar: fetchAvatar } : {}) }),
    ...(sendMail ? [start({ send_mail: sendMail })] : []),
    ...(processAttachment ? [start({ process_attachment: processAttachment })] : []),
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

/**
 * Forwards the queue's log to the log of the node. Failed jobs become warnings, and everything else goes to debug
 * level.
 */
function workerLogger(log: Logger | undefined): WorkerLogger {
  return new WorkerLogger(() => (level: string, message, meta) => {
    if (level === 'error') log?.warn({ meta: (meta as { failure?: unknown } | undefined)?.failure }, message);
    else log?.debug(message);
  });
}
