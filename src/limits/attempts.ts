import { createHash } from 'node:crypto';
import type { Config } from '../config.ts';
import type { Context } from '../context.ts';
import { ChatError } from '../errors.ts';
import type { HastyRedis } from '../realtime/redis.ts';
import { networkOf } from './address.ts';
import { openCounter, take } from './counters.ts';

/** A try to sign in, or to confirm a password. */
export interface Attempt {
  /** Whose password is tried. Starts with its namespace, such as `account:`, so that no typed name is another's key. */
  account: string;
  /** Where the attempt comes from: a network, a device or a session. */
  client: string;
  /** Whether the account has signed in from this client before. Others cannot keep out a known client. */
  isKnown: boolean;
}

/** Slows down password guessing, and limits mails. The reasons are in docs/decisions/0014-sign-in-throttling.md. */
export interface Attempts {
  /**
   * Runs a check of a password. From the fifth failure of an account and client on, the next attempt waits for 1 s, then
   * 2 s, 4 s and so on. An account refuses clients that it does not know after 100 failures within 15 minutes.
   *
   * @param work fails with `INVALID_CREDENTIALS` if the password is wrong; no other failure is counted
   * @throws ChatError `RATE_LIMITED`, alike for an account that does not exist
   */
  guard<Result>(attempt: Attempt, work: () => Promise<Result>): Promise<Result>;
  /** Forgets the failures of an account and client, because the client has proved otherwise whose account it is. */
  forget(attempt: Attempt): Promise<void>;
  /**
   * Counts a change of a user's e-mail address, before the address is known to be free.
   *
   * @throws ChatError `RATE_LIMITED` after 5 of one user or 20 of one network within an hour
   */
  changeAddress(context: Pick<Context, 'viewer' | 'origin'>): Promise<void>;
  /**
   * Counts a mail to an address, whether or not an account has it. A network alone cannot use up the mails of an address.
   *
   * @throws ChatError `RATE_LIMITED` after 3 of this purpose asked for by one network within an hour, or 12 by all
   */
  mail(context: Pick<Context, 'origin'>, purpose: string, address: string): Promise<void>;
}

/** The failure of an account and client from which on the next attempt is delayed. People mistype. */
const DELAYED_FAILURE = 5;
/** Failures of an account and client are forgotten an hour after the first one. */
const BACKOFF_SECONDS = 60 * 60;
const MAX_DELAY_SECONDS = 15 * 60;
/** Far more than a person types. Only attackers with many networks get here. */
const ACCOUNT_FAILURES = { points: 100, seconds: 15 * 60 };

const HOUR = 60 * 60;
/** To one address. All networks together may ask for more, or a stranger would keep its owner from signing up. */
const MAILS_PER_HOUR = { network: 3, address: 12 };
/** Each change may mail a stranger. */
const ADDRESS_CHANGES_PER_HOUR = { user: 5, network: 20 };

/** The attempts of one node. Counts nothing if RATE_LIMITS is off. */
export function createAttempts(config: Config, redis: HastyRedis | null): Attempts {
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
        // Counted before it has failed, or all attempts of one moment would be let through.
        if (!isKnown) await take(failures, account, 1, { message: TOO_MANY_FAILURES });
        const result = await work();
        // The counter of the account goes on: a success of the owner must not give an attacker another 100 attempts.
        await Promise.all([backoff.forget(keyOf(attempt)), isKnown || failures.reward(account)]);
        return result;
      } catch (error) {
        const isFailure = error instanceof ChatError && error.code === 'INVALID_CREDENTIALS';
        if (!isFailure) await Promise.all([backoff.undo(keyOf(attempt)), isKnown || failures.reward(account)]);
        throw error;
      }
    },
    forget: (attempt) => backoff.forget(keyOf(attempt)),
    async changeAddress({ viewer, origin }) {
      if (viewer) await take(userChanges, viewer.userId, 1);
      await take(networkChanges, networkOf(origin.ipAddress), 1);
    },
    async mail({ origin }, purpose, address) {
      await take(networkMails, digest(`${networkOf(origin.ipAddress)} ${purpose} ${address}`), 1);
      await take(mails, digest(`${purpose} ${address}`), 1);
    },
  };
}

const TOO_MANY_FAILURES =
  'Too many sign-ins to this account have failed. Sign in from a device or network that you used before, or reset the password.';

/** Counts the failures of a key. From the fifth on, one attempt at a time is let through, and then none for the delay. */
function createBackoff(redis: HastyRedis | null) {
  const failures = openCounter(redis, { name: 'failures', points: DELAYED_FAILURE, seconds: BACKOFF_SECONDS });
  const turns = openCounter(redis, { name: 'turns', points: 1, seconds: 1 });
  return {
    async begin(key: string): Promise<void> {
      // Counted before it has failed, for the same reason.
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
    /** Takes an attempt back that tried no password. */
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

/** A typed name may be long, and is personal. */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
