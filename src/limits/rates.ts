import type { Config } from '../config.ts';
import type { Context, Origin } from '../context.ts';
import { ChatError } from '../errors.ts';
import type { HastyRedis } from '../realtime/redis.ts';
import { isLoopback, networkOf } from './address.ts';
import { openCounter, rateLimited, take } from './counters.ts';

/** The part of a context that says who pays. */
export type Payer = Pick<Context, 'viewer' | 'service' | 'origin'>;

/** Limits how many points a client may use in a minute. */
/** Bytes of a request or message that one point pays for. To parse 165 KB of JSON takes 14 ms of a core. */
export const BYTES_PER_POINT = 16 * 1_024;

export interface Rates {
  /**
   * Charges the signed-in user, or the network of a signed-out client. Nobody in a network can use up the points of its
   * signed-in users. Services are not charged, nor are signed-out requests of the same machine in development.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  charge(payer: Payer, points: number): Promise<void>;
  /**
   * Charges a request that presents a credential, such as a handshake or a refresh token, before the credential is checked.
   * Each kind has a counter of its own per network. Signed-out requests can therefore not keep out a client that is about
   * to sign in.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  chargeCredential(payer: Payer, kind: string): Promise<void>;
  /**
   * Charges a document that the node had to parse. Signed-out clients pay from a counter of its own per network: what they
   * read and write does not keep a client of the same network from sending the document that signs it in.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  chargeDocument(payer: Payer, points: number): Promise<void>;
  /** Returns the error with which the next document of a payer without points will be refused. Asks no other node. */
  refusalOf(payer: Payer): ChatError | null;
  /**
   * Charges the check of a password to the signed-in user, to a client that the account knows, or to the network, in this
   * order. In development, requests of the same machine are free.
   *
   * @param knownClient key of an account and a client that it knows; null for a client that it does not know
   * @throws ChatError `RATE_LIMITED`
   */
  chargePassword(payer: Payer, knownClient: string | null): Promise<void>;
}

/** Points of a query and of the start of a subscription, which cost more by their complexity. */
export const READING = 1;
/** Points of a search, which looks through the texts of many messages. */
export const SEARCHING = 20;
/** Points of a mutation: it writes one or two rows and notifies streams. */
const WRITING = 5;

/** Points of mutations that cost more or less than `WRITING`. */
export const COSTS: Readonly<Record<string, number>> = {
  // Clients call these without the user: for each message seen, and every few seconds of typing.
  markRead: 1,
  setTyping: 1,
  // Up to 100 rooms, each with a notification.
  markRoomsRead: 20,
  // 5 points allow four messages a second, indefinitely.
  sendMessage: 5,
  // These reach people who have not asked for it.
  addFriend: 20,
  addChatroomMembers: 20,
  createChatroom: 30,
};

/**
 * Points of the expensive step of a mutation, on top of its base cost. They are charged after the input was checked, and
 * right before the step.
 */
export const STEP_COSTS = {
  /** Takes at least 20 ms of a core. */
  hashPassword: 60,
  /** Accounts are permanent. USERNAME_TAKEN and EMAIL_TAKEN cost the same, or names could be enumerated cheaply. */
  createAccount: 300,
  /** Anybody may have typed the address. */
  mailPasswordReset: 300,
  mailVerification: 100,
} as const;

/**
 * Checking whether a credential is valid costs hardly more than refusing it. The limit is therefore wide: it must not be easy
 * for one client to keep the others of its network from signing in.
 */
const CREDENTIALS_FACTOR = 10;

/** Mutations that present a credential. They are charged by `chargeCredential`. */
const CREDENTIAL_MUTATIONS = new Set([
  ...['signIn', 'signInWithIdToken', 'refreshSession'],
  ...['verifyEmail', 'resetPassword'],
]);

/**
 * Charges the base cost of one root field of a mutation, before its input is looked at.
 *
 * @throws ChatError `RATE_LIMITED`
 */
export function chargeMutation(context: Context, mutation: string): Promise<void> {
  return CREDENTIAL_MUTATIONS.has(mutation)
    ? context.rates.chargeCredential(context, mutation)
    : context.rates.charge(context, COSTS[mutation] ?? WRITING);
}

/** The rates of one node. Counts nothing if RATE_LIMITS is off. */
export function createRates(config: Config, redis: HastyRedis | null): Rates {
  const free = () => Promise.resolve();
  if (config.RATE_LIMITS === 'off')
    return { charge: free, chargeCredential: free, chargePassword: free, chargeDocument: free, refusalOf: () => null };
  const minute = { seconds: 60, rememberRefusals: true };
  const perUser = openCounter(redis, { ...minute, name: 'user', points: config.RATE_PER_USER });
  const perNetwork = openCounter(redis, { ...minute, name: 'network', points: config.RATE_PER_ADDRESS });
  const credentials = openCounter(redis, {
    ...{ ...minute, name: 'credential' },
    points: config.RATE_PER_ADDRESS * CREDENTIALS_FACTOR,
  });
  const passwords = openCounter(redis, { ...minute, name: 'password', points: config.RATE_PER_ADDRESS });
  const isDeveloper = ({ ipAddress }: Origin) => config.NODE_ENV === 'development' && isLoopback(ipAddress);

  const documents = openCounter(redis, { ...minute, name: 'document', points: config.RATE_PER_ADDRESS });
  const refusals = createRefusals();

  async function charge({ viewer, service, origin }: Payer, points: number): Promise<void> {
    // Service tokens are issued by the operator.
    if (service) return;
    if (viewer) await refusals.noting(viewer.userId, take(perUser, viewer.userId, points));
    else if (!isDeveloper(origin)) await take(perNetwork, networkOf(origin.ipAddress), points);
  }

  return {
    charge,
    async chargeCredential(payer, kind) {
      if (payer.viewer || payer.service) await charge(payer, WRITING);
      else await take(credentials, `${kind} ${networkOf(payer.origin.ipAddress)}`, 1);
    },
    async chargePassword(payer, knownClient) {
      if (isDeveloper(payer.origin)) return;
      if (payer.viewer || payer.service) await charge(payer, STEP_COSTS.hashPassword);
      else await take(passwords, knownClient ?? networkOf(payer.origin.ipAddress), STEP_COSTS.hashPassword);
    },
    async chargeDocument(payer, points) {
      const network = networkOf(payer.origin.ipAddress);
      if (payer.viewer || payer.service) await charge(payer, points);
      else await refusals.noting(network, take(documents, network, points));
    },
    refusalOf: ({ viewer, origin }) => refusals.of(viewer?.userId ?? networkOf(origin.ipAddress)),
  };
}

/** Maximum number of users and networks without points that a node remembers. */
const MAX_REFUSALS = 10_000;

/** Remembers until when a user or a network has no points left, so that nothing needs to be asked to refuse them. */
function createRefusals() {
  const refusedUntil = new Map<string, number>();

  function note(key: string, error: unknown): void {
    if (!(error instanceof ChatError)) return;
    refusedUntil.delete(key);
    const [oldest] = refusedUntil.keys();
    if (refusedUntil.size >= MAX_REFUSALS && oldest !== undefined) refusedUntil.delete(oldest);
    refusedUntil.set(key, Date.now() + Number(error.details['retryAfterMs']));
  }

  return {
    /** Waits for a charge, and remembers its refusal. */
    async noting(key: string, charged: Promise<void>): Promise<void> {
      try {
        await charged;
      } catch (error) {
        note(key, error);
        throw error;
      }
    },
    of(key: string): ChatError | null {
      const until = refusedUntil.get(key);
      if (until === undefined) return null;
      const retryAfterMs = until - Date.now();
      if (retryAfterMs > 0) return rateLimited(retryAfterMs);
      refusedUntil.delete(key);
      return null;
    },
  };
}
