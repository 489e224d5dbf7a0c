import { isChatError, unreachable } from './errors.ts';

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
   * Called when the access token has run out: trades the refresh token for a new one, keeps it, and answers the access token;
   * null where that is refused, and the viewer is signed out. Never called twice at once, in all tabs of a browser.
   */
  refresh?: () => Promise<string | null>;
}

interface Locks {
  request<Value>(name: string, work: () => Promise<Value>): Promise<Value>;
}

/** Knows the access token, and renews it once for all who were refused with it. */
export function createSession(url: string, { getAccessToken, refresh }: SessionOptions): Session {
  let generation = 0;
  let renewing: Promise<boolean> | undefined;
  // A refresh token that is used twice ends its session. Tabs share it, and so take turns.
  const locks = (globalThis as { navigator?: { locks?: Locks } }).navigator?.locks;
  const alone = (work: () => Promise<string | null>) => (locks ? locks.request(`parley ${url}`, work) : work());

  async function renewNow(refused: Token): Promise<boolean> {
    const renewed = await alone(async () => {
      const current = await getAccessToken();
      // Another tab, or the program itself, was first.
      if (current !== null && current !== refused.value) return current;
      return refresh ? refresh() : null;
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
