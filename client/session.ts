import { isChatError, unreachable } from './errors.ts';
import { backoff, wait } from './wait.ts';

/** Message of `UNAUTHENTICATED` for a user who was signed in. */
export const SESSION_ENDED = 'This session has ended. Sign in again.';

/**
 * An access token. The value is null for a token in a cookie, because scripts cannot read it, or if nobody is signed
 * in. The generation is incremented by each renewal.
 */
export interface Token {
  value: string | null;
  generation: number;
  /** Whether there was a token before, but there is none any more. */
  isLost: boolean;
}

export interface Session {
  token(): Promise<Token>;
  /**
   * Renews the access token after the server has refused it. Returns false if the viewer is signed out, and otherwise
   * true.
   *
   * @throws ChatError `UNREACHABLE` if the refresh token could not be exchanged
   */
  renew(refused: Token): Promise<boolean>;
}

export interface SessionOptions {
  /**
   * Returns the access token. Returns null if nobody is signed in, or if the token is in a cookie. If it returns null
   * after a token, for example because another user has signed in in another tab, the session has ended: the state
   * becomes `signed-out`. The client checks this when another tab changes `localStorage`, when the page becomes visible,
   * and after `UNAUTHENTICATED`.
   *
   * If it throws, for example because the token comes from another server, the operation fails with `UNREACHABLE` and may
   * be retried. A `ChatError` is passed on.
   */
  getAccessToken: () => string | null | Promise<string | null>;
  /**
   * Called when the access token has expired. Exchanges the refresh token, stores both new tokens and returns the
   * access token. Returns null if the server refuses the refresh token, which signs the viewer out. If this function
   * throws, it may be called again with the same refresh token, because the response may have been lost. Only one call
   * runs at a time across all tabs of a browser.
   */
  refresh?: () => Promise<string | null>;
}

/**
 * Maximum time from the first exchange to the start of a retry. The server accepts a replaced refresh token for 10 s.
 * This leaves 2 s for the retry itself.
 */
const RETRY_WITHIN_MS = 8_000;

interface Locks {
  request<Value>(name: string, work: () => Promise<Value>): Promise<Value>;
}

/** Creates a session. All requests that were refused with the same access token share one renewal. */
export function createSession(url: string, { getAccessToken, refresh }: SessionOptions): Session {
  let generation = 0;
  let hasHadToken = false;
  let renewing: Promise<boolean> | undefined;
  // A lock lets only one tab at a time exchange the refresh token. The server ends the session if a replaced token is
  // used after 10 s.
  const locks = (globalThis as { navigator?: { locks?: Locks } }).navigator?.locks;
  async function readToken(): Promise<string | null> {
    try {
      return await getAccessToken();
    } catch (error) {
      if (isChatError(error)) throw error;
      throw unreachable('The access token could not be read. Check the connection and try again.', error);
    }
  }
  const alone = (work: () => Promise<string | null>) => (locks ? locks.request(`parley ${url}`, work) : work());

  async function renewNow(refused: Token): Promise<boolean> {
    const renewed = await alone(async () => {
      const current = await getAccessToken();
      // Another tab or the application has already renewed the token.
      if (current !== null && current !== refused.value) return current;
      return refresh ? retry(refresh) : null;
    }).catch((error: unknown) => {
      if (isChatError(error, 'UNAUTHENTICATED') || isChatError(error, 'BAD_USER_INPUT')) return null;
      throw unreachable('The session could not be renewed. Check the connection and try again.', error);
    });
    if (renewed === null) return false;
    generation += 1;
    return true;
  }

  return {
    async token() {
      const now = generation;
      const value = await readToken();
      hasHadToken ||= value !== null;
      return { value, generation: now, isLost: value === null && hasHadToken };
    },
    async renew(refused) {
      if (refused.generation !== generation) return true;
      renewing ??= renewNow(refused).finally(() => {
        renewing = undefined;
      });
      return renewing;
    },
  };
}

/**
 * Exchanges the refresh token, and retries if the exchange fails. If only the response was lost, the server has
 * replaced the token. The server accepts the old token for 10 s. Later use ends the session.
 */
async function retry(refresh: () => Promise<string | null>): Promise<string | null> {
  const began = Date.now();
  for (let failures = 0; ; failures += 1) {
    try {
      return await refresh();
    } catch (error) {
      const pause = backoff(failures);
      if (isRefusal(error) || Date.now() + pause - began > RETRY_WITHIN_MS) throw error;
      await wait(pause);
    }
  }
}

/** Returns whether a retry would be useless, because the server refused the token or the client was closed. */
function isRefusal(error: unknown): boolean {
  return isChatError(error, 'UNAUTHENTICATED') || isChatError(error, 'BAD_USER_INPUT') || isChatError(error, 'CLOSED');
}
