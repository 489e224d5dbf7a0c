import type { Config } from '../../core/config/settings.ts';
import type { Context, ClientInfo } from '../../core/context.ts';
import { ChatError } from '../../core/errors.ts';
import type { FailFastRedis } from '../redis/clients.ts';
import { isLoopback, subnetOf } from '../../core/clientAddress.ts';
import { consume, openCounter, rateLimited } from './counters.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    rateLimits: RateLimits;
  }
}

/** Part of a context that identifies the user, service or network to charge. */
export type Payer = Pick<Context, 'viewer' | 'service' | 'client'>;

/** Number of bytes of a request or message that cost one point. Parsing 165 KB of JSON takes 14 ms of CPU time. */
export const BYTES_PER_POINT = 16 * 1_024;

/** Limits the points that a client may use per minute. */
export interface RateLimits {
  /**
   * Charges the signed-in user, or the network of a signed-out client. Signed-out clients therefore cannot use up the
   * points of signed-in users in the same network. Services are free. In development, signed-out requests from the
   * server's own machine are also free.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  charge(payer: Payer, points: number): Promise<void>;
  /**
   * Charges a request that presents a credential, such as a refresh token. Call it before checking the credential. For
   * signed-out clients, each network and kind has its own counter. Other requests therefore cannot prevent a client
   * from signing in.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  chargeCredential(payer: Payer, kind: string): Promise<void>;
  /**
   * Charges the parsing of a GraphQL document. Signed-out clients use a separate counter of their network. Other
   * requests from the network therefore cannot prevent a client from sending the document that signs in.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  chargeDocument(payer: Payer, points: number): Promise<void>;
  /**
   * Returns the `RATE_LIMITED` error for the next document if this node knows that the payer has no points left.
   * Otherwise returns null. Reads only local memory.
   */
  refusalOf(payer: Payer): ChatError | null;
  /**
   * Charges a password check to the signed-in user. For a signed-out client, charges `knownClient`, or the network if
   * `knownClient` is null. In development, requests from the server's own machine are free.
   *
   * @param knownClient key of an account and a client from which the account has signed in; null for an unknown client
   * @throws ChatError `RATE_LIMITED`
   */
  chargePassword(payer: Payer, knownClient: string | null): Promise<void>;
  /**
   * Charges a request to an incoming webhook.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  chargeIncomingWebhook(webhookId: string): Promise<void>;
  /**
   * Charges the request of a page for a link preview, which a user has caused.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  chargePage(userId: string): Promise<void>;
}

/** Base cost of a query and of the start of a subscription, in points. Complexity costs further points. */
export const READ_COST = 1;
/** Cost of a search, which reads the texts of many messages. */
export const SEARCH_COST = 20;
/** Cost of a link preview. The server requests a page of another server for it, which takes up to 5 s. */
export const LINK_PREVIEW_COST = 20;
/** Cost of a mutation, which writes one or two rows and notifies streams. */
const WRITE_COST = 5;

/** Maximum number of requests to an incoming webhook per minute. */
const INCOMING_WEBHOOK_REQUESTS = 60;
/**
 * Maximum number of pages that the nodes request for the link previews of a user per hour. MAX_USER_STORAGE_MB does not count their
 * images, of up to 0.5 MB each, so that one user could fill the file store.
 */
const PAGES_PER_HOUR = 100;

/** Costs of individual mutations, in points. All other mutations cost `WRITE_COST`. */
export const COSTS: Readonly<Record<string, number>> = {
  // Clients call these without user action: for each message seen, and every few seconds while typing.
  markRead: 1,
  setTyping: 1,
  // Marks up to 100 rooms, each with a notification.
  markRoomsRead: 20,
  // At 5 points, the default of 1,200 points per minute allows four messages a second indefinitely.
  sendMessage: 5,
  // Reads all bytes of the file, and may queue the processing of an image.
  completeUpload: 20,
  // These mutations notify people who did not ask to be notified.
  addFriend: 20,
  addChatroomMembers: 20,
  createChatroom: 30,
  // Stores a user.
  createBot: 30,
};

/**
 * Costs of expensive steps of mutations, in points. Charged in addition to the base cost, after the input was checked
 * and immediately before the step.
 */
export const STEP_COSTS = {
  /** A password hash takes at least 20 ms of CPU time. */
  hashPassword: 60,
  /**
   * Expensive because accounts are permanent. An attempt that fails with USERNAME_TAKEN or EMAIL_TAKEN costs as much,
   * so that taken names cannot be enumerated cheaply.
   */
  createAccount: 300,
  /** Expensive because anybody can enter somebody else's address. */
  mailPasswordReset: 300,
  mailVerification: 100,
} as const;

/**
 * Ratio of the credential limit to the network limit. With a low limit, one client could prevent others in its network
 * from signing in. The limit can be high, because checking a credential costs hardly more than refusing the request.
 */
const CREDENTIALS_FACTOR = 10;

/** Mutations that present a credential. They are charged by `chargeCredential`. */
const CREDENTIAL_MUTATIONS = new Set([
  ...['signIn', 'signInWithIdToken', 'refreshSession'],
  ...['verifyEmail', 'resetPassword'],
]);

/**
 * Charges the base cost of one root field of a mutation, before its input is checked.
 *
 * @throws ChatError `RATE_LIMITED`
 */
export async function chargeMutation(context: Context, mutation: string): Promise<void> {
  if (CREDENTIAL_MUTATIONS.has(mutation)) await context.rateLimits.chargeCredential(context, mutation);
  else await context.rateLimits.charge(context, COSTS[mutation] ?? WRITE_COST);
  context.outcome.isCharged = true;
}

/** Creates the rate limits of a node. Counts nothing if RATE_LIMITS is off. */
export function createRateLimits(config: Config, redis: FailFastRedis | null): RateLimits {
  const noCharge = () => Promise.resolve();
  if (config.RATE_LIMITS === 'off')
    return {
      charge: noCharge,
      chargeCredential: noCharge,
      chargePassword: noCharge,
      chargeDocument: noCharge,
      chargeIncomingWebhook: noCharge,
      chargePage: noCharge,
      refusalOf: () => null,
    };
  const minute = { seconds: 60, rememberRefusals: true };
  const perUser = openCounter(redis, { ...minute, name: 'user', points: config.RATE_PER_USER });
  const perNetwork = openCounter(redis, { ...minute, name: 'network', points: config.RATE_PER_ADDRESS });
  const credentials = openCounter(redis, {
    ...minute,
    name: 'credential',
    points: config.RATE_PER_ADDRESS * CREDENTIALS_FACTOR,
  });
  const passwords = openCounter(redis, { ...minute, name: 'password', points: config.RATE_PER_ADDRESS });
  const isDeveloper = ({ ipAddress }: ClientInfo) => config.NODE_ENV === 'development' && isLoopback(ipAddress);

  const documents = openCounter(redis, { ...minute, name: 'document', points: config.RATE_PER_ADDRESS });
  const incomingWebhooks = openCounter(redis, {
    ...minute,
    name: 'incoming-webhook',
    points: INCOMING_WEBHOOK_REQUESTS,
  });
  const pages = openCounter(redis, { name: 'page', points: PAGES_PER_HOUR, seconds: 3_600, rememberRefusals: true });
  const refusals = createRefusalCache();

  async function charge({ viewer, service, client }: Payer, points: number): Promise<void> {
    // Services are trusted, because the operator issues their tokens.
    if (service) return;
    if (viewer) await refusals.record(viewer.userId, consume(perUser, viewer.userId, points));
    else if (!isDeveloper(client)) await consume(perNetwork, subnetOf(client.ipAddress), points);
  }

  return {
    charge,
    async chargeCredential(payer, kind) {
      if (payer.viewer || payer.service) await charge(payer, WRITE_COST);
      else await consume(credentials, `${kind} ${subnetOf(payer.client.ipAddress)}`, 1);
    },
    async chargePassword(payer, knownClient) {
      if (isDeveloper(payer.client)) return;
      if (payer.viewer || payer.service) await charge(payer, STEP_COSTS.hashPassword);
      else await consume(passwords, knownClient ?? subnetOf(payer.client.ipAddress), STEP_COSTS.hashPassword);
    },
    async chargeDocument(payer, points) {
      const network = subnetOf(payer.client.ipAddress);
      if (payer.viewer || payer.service) await charge(payer, points);
      else await refusals.record(network, consume(documents, network, points));
    },
    async chargeIncomingWebhook(webhookId) {
      await consume(incomingWebhooks, webhookId, 1);
    },
    async chargePage(userId) {
      await consume(pages, userId, 1, { message: 'Too many pages were requested for your link previews.' });
    },
    refusalOf: ({ viewer, client }) => refusals.get(viewer?.userId ?? subnetOf(client.ipAddress)),
  };
}

/** Maximum number of users and networks without points that a node caches. */
const MAX_REFUSALS = 10_000;

/** Creates a cache of the users and networks that have no points left. A refusal then needs no query to Redis. */
function createRefusalCache() {
  const refusedUntil = new Map<string, number>();

  function cacheRefusal(key: string, error: unknown): void {
    if (!(error instanceof ChatError)) return;
    refusedUntil.delete(key);
    const [oldest] = refusedUntil.keys();
    if (refusedUntil.size >= MAX_REFUSALS && oldest !== undefined) refusedUntil.delete(oldest);
    refusedUntil.set(key, Date.now() + Number(error.details['retryAfterMs']));
  }

  return {
    /** Awaits a charge, and caches its refusal. */
    async record(key: string, charged: Promise<void>): Promise<void> {
      try {
        await charged;
      } catch (error) {
        cacheRefusal(key, error);
        throw error;
      }
    },
    get(key: string): ChatError | null {
      const until = refusedUntil.get(key);
      if (until === undefined) return null;
      const retryAfterMs = until - Date.now();
      if (retryAfterMs > 0) return rateLimited(retryAfterMs);
      refusedUntil.delete(key);
      return null;
    },
  };
}
