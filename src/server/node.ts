import { createPasswords, type HashCost } from '../auth/passwordHashing.ts';
import { createOpenIdProvider } from '../auth/openIdProvider.ts';
import { createDeviceTokens } from '../auth/devices.ts';
import { endExpiredSessions, pruneSessions } from '../auth/sessionExpiry.ts';
import { createSessionFinder } from '../auth/sessionFinder.ts';
import { createFileTokens } from '../auth/fileTokens.ts';
import { createAccessTokens } from '../auth/accessTokens.ts';
import { createBotTokens } from '../auth/botTokens.ts';
import { createExternalTokens, type ExternalClaims, type ExternalTokens } from '../auth/externalTokens.ts';
import { admitExternalUser } from '../features/services/admission.ts';
import { fetchAvatar } from '../features/services/avatarDownload.ts';
import { createSessionWatch } from '../delivery/sessionWatch.ts';
import { createBlockCache } from '../features/relationships/blockCache.ts';
import type { Config } from '../core/config/settings.ts';
import { createCounters, createGauges } from '../platform/observability/gauges.ts';
import type { ClientInfo, ServerNode } from '../core/context.ts';
import { createConsistentReads } from '../platform/database/consistentReads.ts';
import { type Database, openDatabase, type StatementListener } from '../platform/database/database.ts';
import { explainDatabaseFailure } from '../platform/database/failures.ts';
import { createFileStore } from '../platform/files/createFileStore.ts';
import { createFailureLog } from '../platform/observability/failureLog.ts';
import { pruneMails, startJobs } from '../platform/jobQueue.ts';
import { createLoginThrottle } from '../platform/rateLimits/loginThrottle.ts';
import { readEventPage } from '../features/chatroomEvents/eventPage.ts';
import { createRateLimits } from '../platform/rateLimits/rateLimits.ts';
import { createImageProcessor } from '../platform/images/images.ts';
import { createMailer } from '../platform/mailer.ts';
import { createScanner } from '../platform/scanner.ts';
import { cleanFiles, deleteFile } from '../features/attachments/cleanUp.ts';
import { processAttachment, resumeProcessing } from '../features/attachments/processing.ts';
import { MEGABYTE } from '../features/attachments/uploads.ts';
import { createSendQueue } from '../features/messages/sendQueue.ts';
import { createMetrics } from '../platform/observability/metrics.ts';
import { createPresenceTracker } from '../features/presence/presence.ts';
import { createReadMarkFeed } from '../features/readReceipts/readMarks.ts';
import { createUnreadMoments } from '../features/viewerEvents/unreadMoments.ts';
import { createMarkQueue } from '../features/readReceipts/markQueue.ts';
import { createReadNotifier } from '../features/readReceipts/seenNotifier.ts';
import { pushDevice, type PushConfig, pushMessage } from '../features/push/push.ts';
import { createFcmSender, createWebPushSender } from '../features/push/providers.ts';
import { createPageFinder, prunePages } from '../features/linkPreviews/pageCache.ts';
import { previewLinks } from '../features/linkPreviews/linkPreviews.ts';
import { clearChatroom } from '../features/chatrooms/changes.ts';
import { createBus } from '../platform/redis/bus.ts';
import { databaseIdOf } from '../delivery/cursor.ts';
import { pruneLog } from '../delivery/roomLog.ts';
import { fillSkeletons } from '../features/users/keys.ts';
import type { LeaseTimes } from '../platform/redis/leases.ts';
import { connectRedis } from '../platform/redis/clients.ts';
import { SharedExecution } from '../graphql/sharedExecution.ts';
import { startChangePoller } from '../delivery/changePoller.ts';
import { createEventSeal } from '../delivery/eventSeal.ts';
import { RoomTails } from '../delivery/roomTails.ts';
import { finishDeletion } from '../features/accounts/deletion.ts';
import { sendMail } from '../features/users/mailTokens.ts';
import { examine } from './doctor/examine.ts';
import { createWebClient, type WebOptions } from '../platform/web/webClient.ts';
import { createWebhookClient, type WebhookClientOptions } from '../platform/web/webhookClient.ts';
import { startWebhooks, type WebhookTimes } from '../features/webhooks/workers.ts';
import { personalFields } from '../features/webhooks/personalFields.ts';
import { ROOTS } from '../features/webhooks/events.ts';
import { createEventDocuments } from '../graphql/eventDocuments.ts';
import type { Tracing } from '../platform/observability/tracing.ts';
import type { GraphQLSchema } from 'graphql';
import type { Logger } from 'pino';

/** Dependencies and options of a node that are not part of its configuration. */
export interface NodeOptions {
  databaseUrl: string;
  authSecret: string;
  log: Logger;
  onStatement?: StatementListener | undefined;
  tracing?: Tracing | null;
  /** Times of the presence leases. The default times are used if omitted. */
  presenceTimes?: LeaseTimes | undefined;
  /** Cost of a password hash. Production must use the default. */
  hashCost?: HashCost | undefined;
  /** Addresses from which the server may request pages. Production must use the default. */
  web?: WebOptions | undefined;
  /** Times of webhooks, and how their receivers are found. Production must use the default. */
  webhooks?: (Partial<WebhookTimes> & WebhookClientOptions) | undefined;
  /** Whether the server warms up before it accepts requests; see `warmUp`. False if omitted. */
  warmsUp?: boolean;
  /** Whether the node runs periodic jobs. True if omitted, and always in production. */
  periodicJobs?: boolean;
}

/**
 * Creates one node. The database must already be migrated. Nodes notify one another through Redis if it is configured.
 *
 * @param schema executes the documents of webhooks
 */
export async function createNode(config: Config, options: NodeOptions, schema: GraphQLSchema): Promise<ServerNode> {
  const { log, databaseUrl, tracing = null } = options;
  const gauges = createGauges();
  const counters = createCounters();
  const metrics = createMetrics();
  // The first successful poll after an outage logs `recovered`. The change poller polls once a second.
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
  const changePoller = await startChangePoller({ database, bus, log, failures: databaseFailures });
  const sharedExecution = new SharedExecution({ isEnabled: config.SHARED_EXECUTION === 'on' });
  const databaseId = databaseIdOf(database.identity);
  const roomTails = new RoomTails({
    database,
    bus,
    changePoller,
    counters,
    tracing,
    log,
    onNotificationLag: metrics.recordNotificationLag,
    onGrowth: (chatroomIds) => {
      webhooks.notifyGrowth(chatroomIds);
    },
    seal: redis && createEventSeal(options.authSecret, databaseId),
    readPage: (chatroomId, seq) => readEventPage({ database, databaseId }, chatroomId, seq),
  });
  const sessions = createSessionWatch(changePoller);
  const presence = createPresenceTracker({
    database,
    bus,
    log,
    redis: redis?.commands ?? null,
    times: options.presenceTimes,
  });
  const blockCache = createBlockCache({ database, changePoller });
  const counting = config.RATE_LIMITS === 'off' ? null : (redis?.commands ?? null);
  const rateLimits = createRateLimits(config, counting);
  const loginThrottle = createLoginThrottle(config, counting);
  const mailer = createMailer({
    smtpUrl: config.SMTP_URL,
    from: config.MAIL_FROM,
    prints: config.NODE_ENV !== 'production',
    log,
  });
  const images = createImageProcessor({ keepsMetadata: config.IMAGE_METADATA === 'keep', gauges });
  const scanner = createScanner(config.CLAMAV);
  const push = createPushing(config);
  const files = createFileStore(config);
  const web = createWebClient(options.web);
  const findPage =
    config.LINK_PREVIEWS === 'on' ? createPageFinder({ database, files, images, rateLimits }, web) : null;
  const publicUrl = (config.PUBLIC_URL ?? `http://localhost:${config.PORT}`).replace(/\/$/, '');
  const stopJobs = await startJobs({
    databaseUrl,
    log,
    isPeriodic: options.periodicJobs ?? true,
    onRun: metrics.recordJob,
    tasks: {
      ...(mailer ? { send_mail: (job) => sendMail({ database, mailer, publicUrl }, job) } : {}),
      clear_chatroom: (job) => clearChatroom({ database }, job),
      delete_account: (job) => finishDeletion({ database, changePoller, roomTails, bus }, job),
      end_sessions: () => endExpiredSessions(database),
      prune: () => prune(database, config.LOG_DAYS),
      ...(files
        ? {
            clean_files: () => cleanFiles({ database, files }).then(() => undefined),
            delete_file: (job) => deleteFile({ database, files }, job),
            fetch_avatar: (job) => fetchAvatar({ database, files, images, web }, job),
            resume_processing: () => resumeProcessing(database),
            process_attachment: (job) => processAttachment({ database, files, images, scanner, roomTails }, job),
          }
        : {}),
      push_message: (job) => pushMessage({ database, presence }, job),
      preview_links: (job) => previewLinks({ database, findPage, roomTails }, job),
      push_device: (job) => pushDevice({ database, push }, job),
    },
  });
  const node: ServerNode = {
    database,
    bus,
    changePoller,
    roomTails,
    sessions,
    presence,
    blockCache,
    sharedExecution,
    rateLimits,
    loginThrottle,
    mailer,
    images,
    scanner,
    push,
    findPage,
    files,
    fileLimits: { maxFileBytes: config.MAX_FILE_MB * MEGABYTE, maxUserBytes: config.MAX_USER_STORAGE_MB * MEGABYTE },
    publicUrl,
    log,
    gauges,
    counters,
    metrics,
    tracing,
    allowsSignUp: config.SIGN_UP === 'open',
    openId:
      config.OIDC_ISSUER === undefined
        ? null
        : createOpenIdProvider({ issuer: config.OIDC_ISSUER, audience: config.OIDC_AUDIENCE ?? '' }),
    externalTokens: createJwtAcceptance(config, database),
    accessTokens: createAccessTokens(options.authSecret, config.AUTH_SECRETS_ACCEPTED),
    botTokens: createBotTokens(database),
    fileTokens: createFileTokens(options.authSecret, config.AUTH_SECRETS_ACCEPTED),
    deviceTokens: createDeviceTokens(options.authSecret, config.AUTH_SECRETS_ACCEPTED),
    findSession: createSessionFinder({ database, changePoller }),
    sendQueue: createSendQueue({ database, databaseId }),
    markQueue: createMarkQueue(database),
    notifyReadByAll: createReadNotifier({ database, bus, log }),
    readConsistently: createConsistentReads(database),
    readMarks: createReadMarkFeed({ database, bus, log }),
    unreadMoments: createUnreadMoments(),
    passwords: await createPasswords(options.hashCost),
    databaseId,
    logDays: config.LOG_DAYS,
    get webhooks() {
      return webhooks;
    },
    examine: () => examine(config, databaseUrl, null),
    async close() {
      await webhooks.stop();
      sessions.close();
      roomTails.stop();
      blockCache.close();
      changePoller.stop();
      await presence.close();
      const jobsStopped = stopJobs();
      // Jobs that process files fail. The queue repeats them, here or on another node.
      scanner?.close();
      await images.close();
      await jobsStopped;
      mailer?.close();
      redis?.close();
      await database.close();
    },
  };
  const documents = createEventDocuments(config, node, schema, { personalFields, roots: ROOTS });
  const client = createWebhookClient(config.WEBHOOK_ALLOW, options.webhooks);
  const webhooks = startWebhooks(node, {
    ...{ documents, client, times: options.webhooks },
    // Shorter than the execution of the mutation that waits for the response.
    shortTimeoutMs: Math.max(config.EXECUTION_SECONDS * 1_000 - 2_000, 500),
  });
  metrics.register({ gauges, counters, database, bus, roomTails, sessions, presence, webhooks });
  return node;
}

/** Returns the object that accepts the company's own access tokens; null if they are not configured. */
function createJwtAcceptance(config: Config, database: Database): ExternalTokens | null {
  const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWT_JWKS_URL: jwksUrl, JWT_SECRET: secret } = config;
  const keys = jwksUrl !== undefined ? { jwksUrl } : secret !== undefined ? { secret } : null;
  if (!keys) return null;
  const admit = (claims: ExternalClaims, client: ClientInfo) => admitExternalUser({ database }, claims, client);
  return createExternalTokens({ issuer, audience, keys, admit });
}

async function prune(database: Database, days: number): Promise<void> {
  await pruneLog(database, days);
  await pruneSessions(database);
  await fillSkeletons(database);
  await pruneMails(database);
  await prunePages(database);
}

function createPushing(config: Config): PushConfig {
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
