import { createHash } from 'node:crypto';
import type { Config } from '../config.ts';
import type { Context, Origin } from '../context.ts';
import { ChatError } from '../errors.ts';
import type { HastyRedis } from '../realtime/redis.ts';
import { networkOf } from './address.ts';
import { openCounter, take } from './counters.ts';

/** Slows down those who guess passwords, and bounds what is mailed to an address. */
export interface Attempts {
  /**
   * Tries a secret. From the fifth failure on, the next try has to wait for a second, then two, four and so on; the same
   * for the address that the tries come from. Success forgets what was before.
   *
   * @param account what was typed or whose secret it is: whether there is such an account makes no difference
   * @param work fails with `INVALID_CREDENTIALS` where the secret is wrong; other failures do not count
   * @throws ChatError `RATE_LIMITED`
   */
  guard<Result>(account: string, origin: Origin, work: () => Promise<Result>): Promise<Result>;
  /**
   * Counts a change of a user's e-mail address, before the address is known to be free.
   *
   * @throws ChatError `RATE_LIMITED` after 5 of one user or 20 of one network within an hour
   */
  changeAddress(context: Pick<Context, 'viewer' | 'origin'>): Promise<void>;
  /**
   * Counts a mail to an address, whoever has it or not.
   *
   * @throws ChatError `RATE_LIMITED` where it had its share of such mails
   */
  mail(purpose: string, address: string): Promise<void>;
}

/** So many failures cost nothing but the last of them. */
const FREE = 5;
/** Failures are forgotten after a quarter of an hour: nobody is kept out of their account for longer by others. */
const REMEMBERED_SECONDS = 15 * 60;
const MAILS_PER_HOUR = 3;
/** Each change may mail a stranger. */
const ADDRESS_CHANGES_PER_HOUR = { user: 5, network: 20 };

/** The attempts of one node; nothing is counted where RATE_LIMITS is off. */
export function createAttempts(config: Config, redis: HastyRedis | null): Attempts {
  if (config.RATE_LIMITS === 'off')
    return {
      guard: (_account, _origin, work) => work(),
      changeAddress: () => Promise.resolve(),
      mail: () => Promise.resolve(),
    };
  const account = createBrake(redis, 'account', { longestSeconds: 60, ahead: 1 });
  // Many people may share an address: that they try at once is no failure yet. RATE_PER_ADDRESS bounds what they try.
  const address = createBrake(redis, 'address', { longestSeconds: 30, ahead: 0 });
  const mails = openCounter(redis, { name: 'mails', points: MAILS_PER_HOUR, seconds: 3_600 });
  const hour = { seconds: 3_600 };
  const userChanges = openCounter(redis, { ...hour, name: 'changes:user', points: ADDRESS_CHANGES_PER_HOUR.user });
  const networkChanges = openCounter(redis, {
    ...{ ...hour, name: 'changes:network' },
    points: ADDRESS_CHANGES_PER_HOUR.network,
  });

  return {
    async guard(name, origin, work) {
      const [accountKey, addressKey] = [digest(name), networkOf(origin.ipAddress)];
      await address.begin(addressKey);
      try {
        await account.begin(accountKey);
        const result = await work();
        await Promise.all([account.forget(accountKey), address.end(addressKey)]);
        return result;
      } catch (error) {
        const code = error instanceof ChatError ? error.code : null;
        if (code === 'INVALID_CREDENTIALS') {
          await address.fail(addressKey);
        } else {
          // Nothing was learnt by it; where the account had to wait, its try has not begun.
          await address.end(addressKey);
          if (code !== 'RATE_LIMITED') await account.end(accountKey);
        }
        throw error;
      }
    },
    async changeAddress({ viewer, origin }) {
      if (viewer) await take(userChanges, viewer.userId, 1);
      await take(networkChanges, networkOf(origin.ipAddress), 1);
    },
    mail: (purpose, to) => take(mails, digest(`${purpose} ${to}`), 1),
  };
}

/**
 * Counts the failures of a key. From the fifth on there is one turn at a time, and the next comes after the delay.
 *
 * @param ahead 1 where a try counts as failed until it has ended, so that many at once are not all let through before the
 *   first has failed; else 0
 */
function createBrake(
  redis: HastyRedis | null,
  name: string,
  { longestSeconds, ahead }: { longestSeconds: number; ahead: 0 | 1 },
) {
  const failures = openCounter(redis, { name: `failures:${name}`, points: FREE, seconds: REMEMBERED_SECONDS });
  const turns = openCounter(redis, { name: `turns:${name}`, points: 1, seconds: 1 });
  return {
    async begin(key: string): Promise<void> {
      const { consumedPoints } = await failures.penalty(key, ahead);
      const failed = consumedPoints - ahead + 1;
      if (failed < FREE) return;
      const customDuration = Math.min(2 ** (failed - FREE), longestSeconds);
      try {
        await take(turns, key, 1, { customDuration });
      } catch (error) {
        await failures.reward(key, ahead);
        throw error;
      }
    },
    async end(key: string): Promise<void> {
      await Promise.all([failures.reward(key, ahead), turns.delete(key)]);
    },
    /** Where it was not counted ahead. */
    async fail(key: string): Promise<void> {
      await failures.penalty(key);
    },
    async forget(key: string): Promise<void> {
      await Promise.all([failures.delete(key), turns.delete(key)]);
    },
  };
}

/** What was typed may be long, and somebody's. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
