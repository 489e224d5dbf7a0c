import type { Config } from '../config.ts';
import type { Context } from '../context.ts';
import type { HastyRedis } from '../realtime/redis.ts';
import { networkOf } from './address.ts';
import { openCounter, take } from './counters.ts';

/** How much anybody may do in a minute, in points. */
export interface Rates {
  /**
   * Charges whoever asks, and their address.
   *
   * @throws ChatError `RATE_LIMITED`
   */
  charge(context: Pick<Context, 'viewer' | 'service' | 'origin'>, points: number): Promise<void>;
}

/** What a query costs, and to begin a subscription: they are bounded by their complexity, and change nothing. A socket too. */
export const READING = 1;
/** What a mutation costs: a row or two are written, and streams are told. */
const WRITING = 5;

/** What costs more or less than other mutations, and why. */
export const COSTS: Readonly<Record<string, number>> = {
  // Clients do these by themselves, for each message seen and every few seconds of typing.
  markRead: 1,
  setTyping: 1,
  // Four a second go on for ever: more than anybody types, and enough for a bot.
  sendMessage: 5,
  // These reach people who have not asked for it.
  addFriend: 20,
  addChatroomMembers: 20,
  createChatroom: 30,
  // A password is hashed, for 20 ms and more of a core.
  signIn: 60,
  changePassword: 60,
  deleteAccount: 60,
  resetPassword: 60,
  // An account is for ever, and a mail goes to an address that anybody may have typed.
  signUp: 300,
  requestPasswordReset: 300,
  requestEmailVerification: 100,
};

/** What one root field of a mutation costs. */
export function costOf(mutation: string): number {
  return COSTS[mutation] ?? WRITING;
}

/** The rates of one node; nothing is counted where RATE_LIMITS is off. */
export function createRates(config: Config, redis: HastyRedis | null): Rates {
  if (config.RATE_LIMITS === 'off') return { charge: () => Promise.resolve() };
  const minute = { seconds: 60, rememberRefusals: true };
  const perUser = openCounter(redis, { ...minute, name: 'user', points: config.RATE_PER_USER });
  const perAddress = openCounter(redis, { ...minute, name: 'address', points: config.RATE_PER_ADDRESS });
  return {
    async charge({ viewer, service, origin }, points) {
      // Services are ours: their tokens are made on the server.
      if (service) return;
      // First the user's own: what is refused to them must not cost those who share their address.
      if (viewer) await take(perUser, viewer.userId, points);
      await take(perAddress, networkOf(origin.ipAddress), points);
    },
  };
}
