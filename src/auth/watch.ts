import { ChatError } from '../errors.ts';
import type { Sweep } from '../realtime/sweep.ts';
import type { AccessClaims } from './tokens.ts';

/** Ends what goes on for a session, such as sockets and streams, when the session may do nothing more. */
export interface SessionWatch {
  /**
   * Watches over something.
   *
   * @param onEnd called once: with `TOKEN_EXPIRED` when the access token runs out, with `UNAUTHENTICATED` when the
   *   session has ended on whichever node, with null when this node stops
   * @returns a function that ends the watching
   */
  watch(claims: AccessClaims, onEnd: (reason: ChatError | null) => void): () => void;
  /** How many things are watched over. */
  size(): number;
  close(): void;
}

/** A longer timer overflows and fires at once; tokens live minutes. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Longer than an operation can take from its authentication to its first event. */
const REMEMBERED_MS = 60_000;

function sessionEnded(): ChatError {
  return new ChatError('UNAUTHENTICATED', 'This session has ended. Sign in again.');
}

/** The watch of one node. It hears of ended sessions from the sweep, within a second. */
export function createSessionWatch(sweep: Sweep): SessionWatch {
  const watched = new Map<string, Set<(reason: ChatError | null) => void>>();
  /** When this node was told of the latest endings: who was authenticated before, and is watched only now, has ended too. */
  const recent = new Map<string, number>();

  const stopListening = sweep.listen(({ ended }) => {
    const now = Date.now();
    for (const [id, at] of recent) if (at < now - REMEMBERED_MS) recent.delete(id);
    for (const id of ended) {
      recent.set(id, now);
      for (const end of [...(watched.get(id) ?? [])]) end(sessionEnded());
    }
  });

  return {
    watch(claims, onEnd) {
      const expiry = setTimeout(
        () => {
          end(new ChatError('TOKEN_EXPIRED', 'The access token has run out. Come back with a new one.'));
        },
        Math.min(claims.expiresAt.getTime() - Date.now(), LONGEST_TIMER_MS),
      );
      expiry.unref();
      const ends = watched.get(claims.sessionId) ?? new Set();
      watched.set(claims.sessionId, ends);
      const end = (reason: ChatError | null) => {
        if (forget()) onEnd(reason);
      };
      const forget = () => {
        clearTimeout(expiry);
        const found = ends.delete(end);
        if (ends.size === 0) watched.delete(claims.sessionId);
        return found;
      };
      ends.add(end);
      if (recent.has(claims.sessionId)) {
        queueMicrotask(() => {
          end(sessionEnded());
        });
      }
      return forget;
    },
    size: () => [...watched.values()].reduce((sum, ends) => sum + ends.size, 0),
    close() {
      stopListening();
      for (const ends of [...watched.values()]) for (const end of [...ends]) end(null);
    },
  };
}
