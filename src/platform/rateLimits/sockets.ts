import { ChatError } from '../../core/errors.ts';

/**
 * Maximum number of sockets of one network that have not sent `connection_init`, as a multiple of
 * MAX_SIGNED_OUT_SOCKETS.
 */
const HALF_OPEN_FACTOR = 10;
const RETRY_AFTER_MS = 5_000;
/** Maximum size of a subscription's variables, in UTF-16 units of their JSON. Cursors and ids need a few hundred. */
const MAX_STREAM_VARIABLES = 16_384;

/** Registration of a socket that has not signed in yet. */
export interface SignedOutSocket {
  /** Admits the socket without a sign-in. Returns false if its network has too many signed-out sockets. */
  admit(): boolean;
  /** Call this when the socket has signed in or closed. */
  remove(): void;
}

/**
 * Limits the signed-out sockets of each network on this node.
 *
 * A socket that has not sent `connection_init` counts as signed out, but is not refused. Otherwise a client could open
 * many sockets, and nobody in its network could sign in any more. Instead, a new socket replaces the oldest of these
 * sockets when their number exceeds `max * HALF_OPEN_FACTOR`.
 */
export function createSignedOutSockets(max: number): {
  /**
   * Counts a new socket.
   *
   * @param evict closes the socket; called when a newer socket replaces it
   */
  add(network: string, evict: () => void): SignedOutSocket;
} {
  const networks = new Map<string, Set<{ halfOpen: boolean; evict: () => void }>>();
  return {
    add(network, evict) {
      const sockets = networks.get(network) ?? new Set();
      networks.set(network, sockets);
      const socket = { halfOpen: true, evict };
      sockets.add(socket);
      const halfOpen = [...sockets].filter((each) => each.halfOpen);
      const [oldest] = halfOpen;
      if (oldest && halfOpen.length > max * HALF_OPEN_FACTOR) {
        sockets.delete(oldest);
        oldest.evict();
      }
      return {
        admit() {
          if (sockets.size > max) return false;
          socket.halfOpen = false;
          return true;
        },
        remove() {
          if (sockets.delete(socket) && sockets.size === 0) networks.delete(network);
        },
      };
    },
  };
}

/** Limits the open streams of each user on this node, over all transports. */
export function createStreamLimit(max: number): {
  /**
   * Counts a new stream.
   *
   * @returns a function to call when the stream has ended
   * @throws ChatError `RATE_LIMITED` if the user has too many streams
   */
  acquire(userId: string): () => void;
} {
  const counts = new Map<string, number>();
  return {
    acquire(userId) {
      const count = counts.get(userId) ?? 0;
      if (count >= max) throw tooManyStreams(`You have ${max} subscriptions open, over all your connections.`);
      counts.set(userId, count + 1);
      let isReleased = false;
      return () => {
        if (isReleased) return;
        isReleased = true;
        const remaining = (counts.get(userId) ?? 1) - 1;
        if (remaining === 0) counts.delete(userId);
        else counts.set(userId, remaining);
      };
    },
  };
}

/** Returns the error for a subscription that exceeds the limit of a user or a socket. */
export function tooManyStreams(message: string): ChatError {
  return new ChatError('RATE_LIMITED', `${message} End some of them, then try again.`, {
    retryAfterMs: RETRY_AFTER_MS,
  });
}

/**
 * Refuses a subscription with large variables. A stream retains its variables until it ends: 128 streams with 256 KB of
 * variables each took 60 MB of memory.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkStreamVariables(variables: unknown): void {
  if (JSON.stringify(variables ?? null).length > MAX_STREAM_VARIABLES)
    throw new ChatError(
      'BAD_USER_INPUT',
      'The variables of a subscription have at most 16,384 characters. Send smaller ones.',
    );
}
