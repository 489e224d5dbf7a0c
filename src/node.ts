import { createPasswords, type HashCost } from './auth/passwords.ts';
import { createOpenIdProvider } from './auth/openid.ts';
import { createDeviceTokens } from './auth/devices.ts';
import { endExpiredSessions, pruneSessions } from './auth/expiry.ts';
import { authenticate, createSessionFinder, originOf } from './auth/sessions.ts';
import { createAccessTokens } from './auth/tokens.ts';
import { createSessionWatch } from './auth/watch.ts';
import { createBlockers } from './blocks/blockers.ts';
import type { Config } from './config.ts';
import { createCounts, createOpen } from './counts.ts';
import { contextOf, type Context, type Origin, type ServerNode, type Operation } from './context.ts';
import { type Database, openDatabase, type StatementListener } from './database/database.ts';
import { explainDatabaseFailure } from './database/failures.ts';
import { createFailureLog } from './failureLog.ts';
import { createUuid } from './ids.ts';
import { pruneMails, startJobs } from './jobs.ts';
import { createAttempts } from './limits/attempts.ts';
import { readSeen } from './events/loading.ts';
import { createRates } from './limits/rates.ts';
import { createMailer } from './mail/mailer.ts';
import { createSending } from './messages/sending.ts';
import { createMetrics } from './metrics.ts';
import { openPresenceBook } from './presence/presence.ts';
import { createReadMarkFeed } from './reading/readMarks.ts';
import { createSeen } from './reading/seen.ts';
import { pushDevice, type Pushing, pushMessage } from './push/push.ts';
import { createFcmSender, createWebPushSender } from './push/senders.ts';
import { clearChatroom } from './chatrooms/managing.ts';
import { createBus } from './realtime/bus.ts';
import { databaseMark } from './realtime/cursor.ts';
import { pruneLog } from './realtime/log.ts';
import { fillSkeletons } from './users/keys.ts';
import type { LeaseTimes } from './realtime/leases.ts';
import { connectRedis } from './realtime/redis.ts';
import { createSharing } from './realtime/sharing.ts';
import { startSweep } from './realtime/sweep.ts';
import { createTails } from './realtime/tails.ts';
import { finishDeletion } from './users/deletion.ts';
import { sendMail } from './users/mailTokens.ts';
import type { Tracing } from './tracing.ts';
import type { Logger } from 'pino';

export interface NodeOptions {
  databaseUrl: string;
  authSecret: string;
  log: Logger;
  onStatement?: StatementListener | undefined;
  tracing?: Tracing | null;
  /** How long presence takes to notice; the usual times unless given. */
  presenceTimes?: LeaseTimes | undefined;
  /** Cost of a password hash. The default is the only cost for production. */
  hashCost?: HashCost | undefined;
}

/** Connects one node to a database that is migrated already, and to the others through Redis if there is one. */
export async function createNode(config: Config, options: NodeOptions): Promise<ServerNode> {
  const { log, databaseUrl, tracing = null } = options;
  const [open, counts, metrics] = [createOpen(), createCounts(), createMetrics()];
  // The poll each second ends an outage in the log.
  const databaseFailures = createFailureLog(log, {
    explain: (error) => `The database fails: ${explainDatabaseFailure(error)}`,
    recovered: 'The database works again.',
  });
  const database = await openDatabase(databaseUrl, {
    poolSize: config.DATABASE_POOL_SIZE,
    onStatement: options.onStatement,
    trace: tracing?.statement,
    onError: (error) => {
      databaseFailures.failed('polling', error);
    },
  });
  const redis = config.REDIS_URL === undefined ? null : connectRedis(config.REDIS_URL, log);
  const bus = createBus({ redis, log });
  const sweep = await startSweep({ database, bus, log, failures: databaseFailures });
  const sharing = createSharing({ on: config.SHARED_EXECUTION === 'on' });
  const loading = { database, databaseMark: databaseMark(database.identity), sharing };
  const tails = createTails({
    ...{ database, bus, sweep, sharing, counts, tracing, log },
    onNudged: metrics.nudged,
    readEvents: (chatroomId, after) => readSeen(loading, chatroomId, after),
  });
  const sessions = createSessionWatch(sweep);
  const presence = openPresenceBook({
    ...{ database, bus, log },
    redis: redis?.commands ?? null,
    times: options.presenceTimes,
  });
  const blockers = createBlockers({ database, sweep });
  const counting = config.RATE_LIMITS === 'off' ? null : (redis?.commands ?? null);
  const [rates, attempts] = [createRates(config, counting), createAttempts(config, counting)];
  const mailer = createMailer({
    smtpUrl: config.SMTP_URL,
    from: config.MAIL_FROM,
    prints: config.NODE_ENV !== 'production',
    log,
  });
  const push = createPushing(config);
  const publicUrl = (config.PUBLIC_URL ?? `http://localhost:${config.PORT}`).replace(/\/$/, '');
  const stopJobs = await startJobs({
    databaseUrl,
    log,
    onRun: metrics.ran,
    tasks: {
      ...(mailer ? { send_mail: (job) => sendMail({ database, mailer, publicUrl }, job) } : {}),
      clear_chatroom: (job) => clearChatroom({ database }, job),
      delete_account: (job) => finishDeletion({ database, sweep, tails, bus }, job),
      end_sessions: () => endExpiredSessions(database),
      prune: () => prune(database, config.LOG_DAYS),
      push_message: (job) => pushMessage({ database, presence }, job),
      push_device: (job) => pushDevice({ database, push }, job),
    },
  });
  metrics.watch({ open, counts, database, bus, tails, sessions, presence });
  return {
    ...{ database, bus, sweep, tails, sessions, presence, blockers, sharing, rates, attempts, mailer, push },
    ...{ publicUrl, log },
    ...{ open, counts, metrics, tracing },
    allowsSignUp: config.SIGN_UP === 'open',
    openId:
      config.OIDC_ISSUER === undefined
        ? null
        : createOpenIdProvider({ issuer: config.OIDC_ISSUER, audience: config.OIDC_AUDIENCE ?? '' }),
    accessTokens: createAccessTokens(options.authSecret, config.AUTH_SECRETS_ACCEPTED),
    deviceTokens: createDeviceTokens(options.authSecret, config.AUTH_SECRETS_ACCEPTED),
    findSession: createSessionFinder(database),
    sending: createSending(database),
    announceSeen: createSeen({ database, bus, log }),
    readMarks: createReadMarkFeed({ database, bus, log }),
    passwords: await createPasswords(options.hashCost),
    databaseMark: loading.databaseMark,
    logDays: config.LOG_DAYS,
    async close() {
      sessions.close();
      tails.close();
      blockers.close();
      sweep.stop();
      await presence.close();
      await stopJobs();
      mailer?.close();
      redis?.close();
      await database.close();
    },
  };
}

async function prune(database: Database, days: number): Promise<void> {
  await pruneLog(database, days);
  await pruneSessions(database);
  await fillSkeletons(database);
  await pruneMails(database);
}

function createPushing(config: Config): Pushing {
  const { FCM_SERVICE_ACCOUNT, VAPID_PUBLIC_KEY, VAPID_PRIVATE_KEY } = config;
  return {
    senders: {
      ...(FCM_SERVICE_ACCOUNT ? { FCM: createFcmSender(FCM_SERVICE_ACCOUNT, config.FCM_ENDPOINT) } : {}),
      ...(VAPID_PUBLIC_KEY !== undefined && VAPID_PRIVATE_KEY !== undefined
        ? {
            WEB_PUSH: createWebPushSender({
              publicKey: VAPID_PUBLIC_KEY,
              privateKey: VAPID_PRIVATE_KEY,
              subject: `mailto:${config.MAIL_FROM}`,
            }),
          }
        : {}),
    },
    webPushOrigins: config.WEB_PUSH_ORIGINS,
    webPushPublicKey: VAPID_PRIVATE_KEY === undefined ? null : (VAPID_PUBLIC_KEY ?? null),
  };
}

/** What an operation comes with, beside what it asks. */
export interface Arrival {
  /** The Authorization header, or the WebSocket's `authorization` parameter. */
  authorization: unknown;
  origin?: Origin;
  requestId?: string | undefined;
  cookies?: Context['cookies'];
  onGone?: Context['onGone'];
}

/** One operation: who asks, from where, and nothing remembered. */
export async function createOperation(node: ServerNode, arrival: Arrival): Promise<Operation> {
  const { authorization, origin = originOf(undefined, null), cookies = null, onGone = null } = arrival;
  const { requestId = createUuid() } = arrival;
  const { viewer, service, rejected, floor } = await authenticate(node, authorization);
  const sessionEnd = { isExpected: false };
  return { node, viewer, service, rejected, floor, origin, requestId, cookies, onGone, sessionEnd, cache: {} };
}

/** What it runs in, where GraphQL has no part in it. */
export async function createContext(node: ServerNode, arrival: Arrival): Promise<Context> {
  return contextOf(await createOperation(node, arrival));
}
