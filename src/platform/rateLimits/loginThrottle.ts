import { createHash } from 'node:crypto';
import type { Config } from '../../core/config/settings.ts';
import type { Context } from '../../core/context.ts';
import { ChatError } from '../../core/errors.ts';
import type { FailFastRedis } from '../redis/clients.ts';
import { subnetOf } from '../../core/clientAddress.ts';
import { openCounter, take } from './counters.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    loginThrottle: LoginThrottle;
  }
}

/** Attempt to sign in, or to confirm a password. */
export interface Attempt {
  /**
   * Key of the account whose password is tried. Starts with a namespace such as `account:`, because a key made from a
   * typed name could otherwise equal a key of another kind.
   */
  account: string;
  /** Origin of the attempt: a network, a device or a session. */
  client: string;
  /**
   * Whether the account has signed in from this client before. Failures from other clients never lock out a known
   * client.
   */
  isKnown: boolean;
}

/** Slows down password guessing, and limits mails. The reasons are in docs/decisions/0014-sign-in-throttling.md. */
export interface LoginThrottle {
  /**
   * Runs a password check. After the fifth failure of an account and client, the next attempt must wait 1 s, then 2 s,
   * 4 s and so on. After 100 failures within 15 minutes, an account refuses clients that it does not know.
   *
   * @param work fails with `INVALID_CREDENTIALS` if the password is wrong; no other error counts as a failure
   * @throws ChatError `RATE_LIMITED`, also for an account that does not exist
   */
  guard<Result>(attempt: Attempt, work: () => Promise<Result>): Promise<Result>;
  /**
   * Resets the failures of an account and client after the client has proved ownership of the account in another way.
   */
  forget(attempt: Attempt): Promise<void>;
  /**
   * Counts a change of a user's e-mail address. Call it before checking whether the address is free.
   *
   * @throws ChatError `RATE_LIMITED` after 5 changes of one user or 20 of one network within an hour
   */
  changeAddress(context: Pick<Context, 'viewer' | 'client'>): Promise<void>;
  /**
   * Counts a mail to an address, even if no account has the address. A single network can use up only some of the mails
   * that an address may receive.
   *
   * @throws ChatError `RATE_LIMITED` after 3 mails of this purpose to the address within an hour from one network, or
   *   12 from all networks together
   */
  mail(context: Pick<Context, 'client'>, purpose: string, address: string): Promise<void>;
}

/**
 * Number of failures of an account and client after which attempts are delayed. Earlier failures may be typing errors.
 */
const DELAYED_FAILURE = 5;
/** Failures of an account and client are forgotten an hour after the first one. */
const BACKOFF_SECONDS = 60 * 60;
const MAX_DELAY_SECONDS = 15 * 60;
/**
 * Maximum number of failures of an account from unknown clients. Users do not reach it by mistyping. An attacker
 * reaches it only with many networks.
 */
const ACCOUNT_FAILURES = { points: 100, seconds: 15 * 60 };

const HOUR = 60 * 60;
/**
 * Maximum number of mails to one address, per network and in total. The total is higher than the limit of one network;
 * otherwise one stranger could use up all mails and keep the owner of the address from signing up.
 */
const MAILS_PER_HOUR = { network: 3, address: 12 };
/** Maximum number of address changes per hour. Limited because each change may mail a stranger. */
const ADDRESS_CHANGES_PER_HOUR = { user: 5, network: 20 };

/** Creates the login throttle of a node. Counts nothing if RATE_LIMITS is off. */
export function createLoginThrottle(config: Config, redis: FailFastRedis | null): LoginThrottle {
  const uncounted = () => Promise.resolve();
  if (config.RATE_LIMITS === 'off')
    return { guard: (_attempt, work) => work(), forget: uncounted, changeAddress: uncounted, mail: uncounted };
  const backoff = createBackoff(redis);
  const failures = openCounter(redis, { name: 'account', ...ACCOUNT_FAILURES });
  const networkMails = openCounter(redis, { name: 'mails:network', points: MAILS_PER_HOUR.network, seconds: HOUR });
  const mails = openCounter(redis, { name: 'mails', points: MAILS_PER_HOUR.address, seconds: HOUR });
  const { user, network } = ADDRESS_CHANGES_PER_HOUR;
  const userChanges = openCounter(redis, { name: 'changes:user', points: user, seconds: HOUR });
  const networkChanges = openCounter(redis, { name: 'changes:network', points: network, seconds: HOUR });

  return {
    async guard(attempt, work) {
      const { account, isKnown } = attempt;
      await backoff.begin(keyOf(attempt));
      try {
        // Counts each attempt as a failure in advance. Otherwise concurrent attempts would all pass the limit.
        if (!isKnown) await take(failures, account, 1, { message: TOO_MANY_FAILURES });
        const result = await work();
        // The counter of the account is not reset. Otherwise each sign-in of the owner would grant an attacker another
        // 100 attempts.
        await Promise.all([backoff.forget(keyOf(attempt)), isKnown || failures.reward(account)]);
        return result;
      } catch (error) {
        const isFailure = error instanceof ChatError && error.code === 'INVALID_CREDENTIALS';
        if (!isFailure) await Promise.all([backoff.undo(keyOf(attempt)), isKnown || failures.reward(account)]);
        throw error;
      }
    },
    forget: (attempt) => backoff.forget(keyOf(attempt)),
    async changeAddress({ viewer, client }) {
      if (viewer) await take(userChanges, viewer.userId, 1);
      await take(networkChanges, subnetOf(client.ipAddress), 1);
    },
    async mail({ client }, purpose, address) {
      await take(networkMails, digest(`${subnetOf(client.ipAddress)} ${purpose} ${address}`), 1);
      await take(mails, digest(`${purpose} ${address}`), 1);
    },
  };
}

const TOO_MANY_FAILURES =
  'Too many sign-ins to this account have failed. Sign in from a device or network that you used before, or reset the password.';

/**
 * Counts the failures of a key. From the fifth failure on, allows one attempt per delay. The delay starts at 1 s and
 * doubles with each failure.
 */
function createBackoff(redis: FailFastRedis | null) {
  const failures = openCounter(redis, { name: 'failures', points: DELAYED_FAILURE, seconds: BACKOFF_SECONDS });
  const turns = openCounter(redis, { name: 'turns', points: 1, seconds: 1 });
  return {
    async begin(key: string): Promise<void> {
      // Counts each attempt as a failure in advance. Otherwise concurrent attempts would all pass the limit.
      const { consumedPoints } = await failures.penalty(key);
      if (consumedPoints < DELAYED_FAILURE) return;
      const customDuration = Math.min(2 ** (consumedPoints - DELAYED_FAILURE), MAX_DELAY_SECONDS);
      try {
        await take(turns, key, 1, { customDuration });
      } catch (error) {
        await failures.reward(key);
        throw error;
      }
    },
    /** Uncounts an attempt that did not test a password. */
    async undo(key: string): Promise<void> {
      await Promise.all([failures.reward(key), turns.delete(key)]);
    },
    async forget(key: string): Promise<void> {
      await Promise.all([failures.delete(key), turns.delete(key)]);
    },
  };
}

function keyOf({ account, client }: Attempt): string {
  return `${account} ${client}`;
}

/**
 * Returns the hash of a typed name or address. Used in keys instead of the text, which may be long and is personal
 * data.
 */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
