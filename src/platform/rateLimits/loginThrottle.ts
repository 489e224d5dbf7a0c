import { createHash } from 'node:crypto';
import type { Config } from '../../core/config/settings.ts';
import type { Context } from '../../core/context.ts';
import { ChatError } from '../../core/errors.ts';
import type { FailFastRedis } from '../redis/clients.ts';
import { subnetOf } from '../../core/clientAddress.ts';
import { consume, openCounter } from './counters.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    loginThrottle: LoginThrottle;
  }
}

/** Attempt to sign in, or to confirm a password. */
export interface Attempt {
  /**
   * Key of the account whose password is tried. A prefix such as `account:` or `name:` separates ids of accounts from
   * typed names.
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
   * Runs a password check. After five failures of an account and client, the next attempt must wait 1 s. Each further
   * failure doubles the delay, up to 15 minutes. After 100 failures of unknown clients within 15 minutes, the account
   * refuses all unknown clients.
   *
   * @param work throws `INVALID_CREDENTIALS` if the password is wrong. Other errors do not count as failures.
   * @throws ChatError `RATE_LIMITED` if the attempt is refused. Accounts that do not exist have the same limits.
   */
  run<Result>(attempt: Attempt, work: () => Promise<Result>): Promise<Result>;
  /**
   * Ends the delay of an account and client. Call it after the client has proved ownership of the account in another
   * way. The failures of unknown clients still count.
   */
  resetDelay(attempt: Attempt): Promise<void>;
  /**
   * Counts a change of a user's e-mail address. Call it before checking whether the address is free.
   *
   * @throws ChatError `RATE_LIMITED` after 5 changes by one user or 20 from one network within an hour
   */
  countAddressChange(context: Pick<Context, 'viewer' | 'client'>): Promise<void>;
  /**
   * Counts a mail to an address, even if no account has the address.
   *
   * @throws ChatError `RATE_LIMITED` after 3 mails within an hour from one network, or 12 from all networks. Counts
   *   each purpose and address separately.
   */
  countMail(context: Pick<Context, 'client'>, purpose: string, address: string): Promise<void>;
}

/**
 * Number of failures of an account and client after which attempts are delayed. Earlier failures may be typing errors.
 */
const DELAYED_FAILURE = 5;
/** Time from the first failure until the failures of an account and client are forgotten, in seconds. */
const BACKOFF_SECONDS = 60 * 60;
const MAX_DELAY_SECONDS = 15 * 60;
/**
 * Maximum number of failures of an account from unknown clients. Mistyping does not reach the limit. An attacker needs
 * many networks to reach it, because the attempts of each client are delayed.
 */
const ACCOUNT_FAILURES = { points: 100, seconds: 15 * 60 };

const HOUR = 60 * 60;
/**
 * Maximum number of mails per hour to one address, from one network and from all networks. The second limit is higher.
 * Otherwise a stranger could use up all mails, and the owner of the address could not sign up.
 */
const MAILS_PER_HOUR = { network: 3, address: 12 };
/** Maximum number of address changes per hour. Limited because each change may mail a stranger. */
const ADDRESS_CHANGES_PER_HOUR = { user: 5, network: 20 };

/** Creates the login throttle of a node. Counts nothing if RATE_LIMITS is off. */
export function createLoginThrottle(config: Config, redis: FailFastRedis | null): LoginThrottle {
  const uncounted = () => Promise.resolve();
  if (config.RATE_LIMITS === 'off')
    return {
      run: (_attempt, work) => work(),
      resetDelay: uncounted,
      countAddressChange: uncounted,
      countMail: uncounted,
    };
  const backoff = createBackoff(redis);
  const failures = openCounter(redis, { name: 'account', ...ACCOUNT_FAILURES });
  const networkMails = openCounter(redis, { name: 'mails:network', points: MAILS_PER_HOUR.network, seconds: HOUR });
  const mails = openCounter(redis, { name: 'mails', points: MAILS_PER_HOUR.address, seconds: HOUR });
  const { user, network } = ADDRESS_CHANGES_PER_HOUR;
  const userChanges = openCounter(redis, { name: 'changes:user', points: user, seconds: HOUR });
  const networkChanges = openCounter(redis, { name: 'changes:network', points: network, seconds: HOUR });

  return {
    async run(attempt, work) {
      const { account, isKnown } = attempt;
      await backoff.begin(keyOf(attempt));
      try {
        // Counts each attempt as a failure in advance. Otherwise concurrent attempts would all pass the limit.
        if (!isKnown) await consume(failures, account, 1, { message: TOO_MANY_FAILURES });
        const result = await work();
        // Removes only this attempt from the count. A reset at each sign-in of the owner would give an attacker another
        // 100 attempts.
        await Promise.all([backoff.reset(keyOf(attempt)), isKnown || failures.reward(account)]);
        return result;
      } catch (error) {
        const isFailure = error instanceof ChatError && error.code === 'INVALID_CREDENTIALS';
        if (!isFailure) await Promise.all([backoff.undo(keyOf(attempt)), isKnown || failures.reward(account)]);
        throw error;
      }
    },
    resetDelay: (attempt) => backoff.reset(keyOf(attempt)),
    async countAddressChange({ viewer, client }) {
      if (viewer) await consume(userChanges, viewer.userId, 1);
      await consume(networkChanges, subnetOf(client.ipAddress), 1);
    },
    async countMail({ client }, purpose, address) {
      await consume(networkMails, digest(`${subnetOf(client.ipAddress)} ${purpose} ${address}`), 1);
      await consume(mails, digest(`${purpose} ${address}`), 1);
    },
  };
}

const TOO_MANY_FAILURES =
  'Too many sign-ins to this account have failed. Sign in from a device or network that you used before, or reset the password.';

/**
 * Creates counters that delay the attempts of a key. From the fifth failure on, each key has one attempt per delay. The
 * delay starts at 1 s, doubles with each failure, and is at most 15 minutes.
 */
function createBackoff(redis: FailFastRedis | null) {
  const failures = openCounter(redis, { name: 'failures', points: DELAYED_FAILURE, seconds: BACKOFF_SECONDS });
  const delays = openCounter(redis, { name: 'turns', points: 1, seconds: 1 });
  return {
    async begin(key: string): Promise<void> {
      // Counts each attempt as a failure in advance. Otherwise concurrent attempts would all pass the limit.
      const { consumedPoints } = await failures.penalty(key);
      if (consumedPoints < DELAYED_FAILURE) return;
      const customDuration = Math.min(2 ** (consumedPoints - DELAYED_FAILURE), MAX_DELAY_SECONDS);
      try {
        await consume(delays, key, 1, { customDuration });
      } catch (error) {
        await failures.reward(key);
        throw error;
      }
    },
    /** Removes from the count an attempt that did not test a password. */
    async undo(key: string): Promise<void> {
      await Promise.all([failures.reward(key), delays.delete(key)]);
    },
    async reset(key: string): Promise<void> {
      await Promise.all([failures.delete(key), delays.delete(key)]);
    },
  };
}

function keyOf({ account, client }: Attempt): string {
  return `${account} ${client}`;
}

/**
 * Returns the hash of a typed name or address. Keys contain the hash, because the text may be long and is personal
 * data.
 */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
