import { isChatError, unreachable } from './errors.ts';
import { backoff, wait } from './wait.ts';

/** A token, and which one it is: in a cookie it cannot be seen, and they all look the same. */
export interface Token {
  value: string | null;
  generation: number;
}

export interface Session {
  token(): Promise<Token>;
  /** Gets another token for one that was refused. False where the viewer is signed out. */
  renew(refused: Token): Promise<boolean>;
}

export interface SessionOptions {
  /** The access token, or null where nobody is signed in or a cookie has it. */
  getAccessToken: () => string | null | Promise<string | null>;
  /**
   * Called when the access token has expired: exchanges the refresh token, stores both new tokens, and returns the access
   * token; null if the exchange is refused and the viewer is signed out. If it throws, it is called again with the same refresh
   * token, because the answer may have been lost. Never called twice at once, in all tabs of a browser.
   */
  refresh?: () => Promise<string | null>;
}

/**
 * How long after the first attempt another one starts. The server accepts the predecessor of the latest refresh token for 10 s
 * after it was exchanged; an attempt takes its time too.
 */
const RETRY_WITHIN_MS = 8_000;

interface Locks {
  request<Value>(name: string, work: () => Promise<Value>): Promise<Value>;
}

/** Knows the access token, and renews it once for all who were refused with it. */
export function createSession(url: string, { getAccessToken, refresh }: SessionOptions): Session {
  let generation = 0;
  let renewing: Promise<boolean> | undefined;
  // A refresh token that is used again after 10 s ends its session. Tabs share the token, and so take turns.
  const locks = (globalThis as { navigator?: { locks?: Locks } }).navigator?.locks;
  const alone = (work: () => Promise<string | null>) => (locks ? locks.request(`parley ${url}`, work) : work());

  async function renewNow(refused: Token): Promise<boolean> {
    const renewed = await alone(async () => {
      const current = await getAccessToken();
      // Another tab, or the program itself, was first.
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
      return { value: await getAccessToken(), generation: now };
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
 * Exchanges the refresh token, several times if needed: a token whose exchange got no answer may have been replaced on the
 * server, which accepts the replaced one for a few seconds more. Later it would end the session.
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

/** Whether the server has refused the refresh token, so that another attempt would not change anything. */
function isRefusal(error: unknown): boolean {
  return isChatError(error, 'UNAUTHENTICATED') || isChatError(error, 'BAD_USER_INPUT') || isChatError(error, 'CLOSED');
}
