import { ChatError } from '../core/errors.ts';
import type { ChangePoller } from './changePoller.ts';
import type { AccessClaims } from '../core/context.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    /** Ends streams and sockets of a session when the session ends. */
    sessions: SessionWatch;
  }
}

/** Ends the sockets and streams of a session when the session or its access token is no longer valid. */
export interface SessionWatch {
  /**
   * Watches the session of one socket or stream.
   *
   * @param onEnd called once: with `TOKEN_EXPIRED` when the access token expires, with `UNAUTHENTICATED` when the
   *   session has ended on any node, or with null when this node stops
   * @returns a function that stops watching
   */
  watch(claims: AccessClaims, onEnd: (reason: ChatError | null) => void): () => void;
  /** Returns the number of watched sockets and streams. */
  size(): number;
  /** Stops watching, and calls each `onEnd` with null. */
  close(): void;
}

/**
 * Maximum delay of a timer, in milliseconds. A longer delay overflows, and the timer fires at once. Access tokens are valid
 * for minutes, and tokens of bots do not expire.
 */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * How long an ended session is remembered, in milliseconds. Must exceed the time from the authentication of an
 * operation to the `watch` of its stream.
 */
const ENDED_SESSION_TTL_MS = 60_000;

function sessionEnded(): ChatError {
  return new ChatError('UNAUTHENTICATED', 'This session has ended. Sign in again.');
}

/** Creates the session watch of one node. The change poller reports ended sessions within a second. */
export function createSessionWatch(changePoller: ChangePoller): SessionWatch {
  const watched = new Map<string, Set<(reason: ChatError | null) => void>>();
  /**
   * Time at which this node learned of the end of each session, by session id. A session may end between the
   * authentication of an operation and `watch` for its stream. That stream must end too.
   */
  const recentlyEnded = new Map<string, number>();

  const stopListening = changePoller.listen(({ ended }) => {
    const now = Date.now();
    for (const [id, at] of recentlyEnded) if (at < now - ENDED_SESSION_TTL_MS) recentlyEnded.delete(id);
    for (const id of ended) {
      recentlyEnded.set(id, now);
      for (const end of [...(watched.get(id) ?? [])]) end(sessionEnded());
    }
  });

  return {
    watch(claims, onEnd) {
      const delay = claims.expiresAt.getTime() - Date.now();
      const expire = () => {
        end(new ChatError('TOKEN_EXPIRED', 'The access token has expired. Reconnect with a new one.'));
      };
      const expiry = delay > MAX_TIMER_MS ? undefined : setTimeout(expire, delay).unref();
      const ends = watched.get(claims.sessionId) ?? new Set();
      watched.set(claims.sessionId, ends);
      const end = (reason: ChatError | null) => {
        if (unwatch()) onEnd(reason);
      };
      const unwatch = () => {
        clearTimeout(expiry);
        const found = ends.delete(end);
        if (ends.size === 0) watched.delete(claims.sessionId);
        return found;
      };
      ends.add(end);
      if (recentlyEnded.has(claims.sessionId)) {
        queueMicrotask(() => {
          end(sessionEnded());
        });
      }
      return unwatch;
    },
    size: () => [...watched.values()].reduce((sum, ends) => sum + ends.size, 0),
    close() {
      stopListening();
      for (const ends of [...watched.values()]) for (const end of [...ends]) end(null);
    },
  };
}
