import { ChatError } from '../errors.ts';

/** How many handshakes of a network may wait for `connection_init`, for each signed-out socket that it may have. */
const HALF_OPEN_FACTOR = 10;
const RETRY_MS = 5_000;
/** Largest variables of a subscription, in UTF-16 units of their JSON. Cursors and ids need some hundreds. */
const MAX_STREAM_VARIABLES = 16_384;

/** One socket of nobody, as far as is known. */
export interface Seat {
  /** Keeps the socket signed out. False if its network has as many such sockets as it may. */
  stay(): boolean;
  /** The socket has signed in, or closed. */
  leave(): void;
}

/**
 * Bounds the signed-out sockets of each network on this node.
 *
 * A socket whose `connection_init` is still to come counts too, but is not refused: its client may be about to sign in, and
 * nobody may keep out the users of a network by opening sockets in it. Too many of them take one another's places.
 */
export function createSignedOutSockets(max: number): {
  /** @param evict cuts the connection, whose place a newer one takes */
  enter(network: string, evict: () => void): Seat;
} {
  const networks = new Map<string, Set<{ halfOpen: boolean; evict: () => void }>>();
  return {
    enter(network, evict) {
      const seats = networks.get(network) ?? new Set();
      networks.set(network, seats);
      const seat = { halfOpen: true, evict };
      seats.add(seat);
      const halfOpen = [...seats].filter((each) => each.halfOpen);
      const [oldest] = halfOpen;
      if (oldest && halfOpen.length > max * HALF_OPEN_FACTOR) {
        seats.delete(oldest);
        oldest.evict();
      }
      return {
        stay() {
          if (seats.size > max) return false;
          seat.halfOpen = false;
          return true;
        },
        leave() {
          if (seats.delete(seat) && seats.size === 0) networks.delete(network);
        },
      };
    },
  };
}

/** Bounds the open streams of each user on this node, over all transports. */
export function createStreamLimit(max: number): {
  /**
   * @returns a function to call when the stream has ended
   * @throws ChatError `RATE_LIMITED`
   */
  enter(userId: string): () => void;
} {
  const counts = new Map<string, number>();
  return {
    enter(userId) {
      const count = counts.get(userId) ?? 0;
      if (count >= max) throw tooManyStreams(`You have ${max} subscriptions open, over all your connections.`);
      counts.set(userId, count + 1);
      let left = false;
      return () => {
        if (left) return;
        left = true;
        const others = (counts.get(userId) ?? 1) - 1;
        if (others === 0) counts.delete(userId);
        else counts.set(userId, others);
      };
    },
  };
}

/** The error of one subscription more than a user or a socket may have. */
export function tooManyStreams(what: string): ChatError {
  return new ChatError('RATE_LIMITED', `${what} End some of them, then try again.`, { retryAfterMs: RETRY_MS });
}

/**
 * Refuses a subscription with large variables. A stream keeps its variables until it ends; 128 streams with 256 KB each
 * held 60 MB.
 */
export function checkStreamVariables(variables: unknown): void {
  if (JSON.stringify(variables ?? null).length > MAX_STREAM_VARIABLES)
    throw new ChatError('BAD_USER_INPUT', 'The variables of a subscription have at most 16,384 characters.');
}
