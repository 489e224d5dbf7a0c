import { type ChatClient, createChatClient, localStorageOutbox } from '@parley/client';
import { RefreshSessionDocument, SignInDocument, SignOutDocument } from './generated/graphql.ts';

/** Storage key of the tokens. All tabs share them, so a refresh in one tab applies to all. */
const TOKENS = 'parley tokens';
/**
 * Storage key of the device token, which stays after sign-out. It lets this device sign in while others guess the
 * password.
 */
const DEVICE_TOKEN = 'parley device token';

/** Timeout of `signOut`, after which this device forgets the session anyway. */
const SIGN_OUT_TIMEOUT_MS = 5_000;

interface Tokens {
  accessToken: string;
  refreshToken: string;
  user: { id: string; username: string };
}

export interface Session {
  user: { id: string; username: string };
  chat: ChatClient;
}

/**
 * Signs in.
 *
 * @throws ChatError with a message for the user
 */
export async function signIn(url: string, usernameOrEmail: string, password: string): Promise<Session> {
  const guest = createChatClient({ url, getAccessToken: () => null });
  const deviceToken = localStorage.getItem(DEVICE_TOKEN);
  const { signIn } = await guest.execute(SignInDocument, { input: { usernameOrEmail, password, deviceToken } });
  guest.close();
  if (!signIn?.refreshToken) throw new Error('The server returned no refresh token. Sign in without `cookie`.');
  if (signIn.deviceToken) localStorage.setItem(DEVICE_TOKEN, signIn.deviceToken);
  const { accessToken, refreshToken, viewer } = signIn;
  write({ accessToken, refreshToken, user: viewer.user });
  return open(url, viewer.user);
}

/** Returns the session of this browser, or null if nobody is signed in. Call this when the page loads. */
export function resumeSession(url: string): Session | null {
  const tokens = read();
  return tokens && open(url, tokens.user);
}

/**
 * Ends the session, and deletes the tokens and the user's unsent messages. Also discard the cache of Apollo Client or
 * urql. If the server cannot be reached, the session remains on the server until it expires, or until the user ends it
 * in the list of sessions (`Viewer.sessions`).
 */
export async function signOut({ user, chat }: Session): Promise<void> {
  const signal = AbortSignal.timeout(SIGN_OUT_TIMEOUT_MS);
  await chat.execute(SignOutDocument, {}, { signal }).catch(console.error);
  chat.close();
  if (read(user.id)) localStorage.removeItem(TOKENS);
  const store = storeOf(user.id);
  for (const entry of await store.load()) await store.delete(entry);
}

/**
 * Creates a client for the signed-in user. If another user signs in in another tab, `getAccessToken` returns null. The
 * state of the client then becomes `signed-out`, and its operations fail with `UNAUTHENTICATED`.
 */
function open(url: string, user: Session['user']): Session {
  let tokens: Tokens | null = null;
  const chat: ChatClient = createChatClient({
    url,
    getAccessToken() {
      tokens = read(user.id);
      return tokens?.accessToken ?? null;
    },
    // Messages of `chat.send` that the server has not stored yet survive a reload.
    outboxStore: storeOf(user.id),
    // Called when the access token has expired, in one tab at a time. UNAUTHENTICATED ends the session.
    async refresh() {
      const refreshToken = read(user.id)?.refreshToken;
      if (!refreshToken) return null;
      const { refreshSession } = await chat.execute(RefreshSessionDocument, { refreshToken });
      if (!refreshSession?.refreshToken) return null;
      // Another tab may have stored other tokens in the meantime. These tokens must stay.
      const current = read(user.id);
      if (current?.refreshToken !== refreshToken) return current?.accessToken ?? null;
      write({ accessToken: refreshSession.accessToken, refreshToken: refreshSession.refreshToken, user });
      return refreshSession.accessToken;
    },
    onState(state) {
      // Another tab may have signed in again, so only the tokens that this client has used are removed.
      if (state === 'signed-out' && tokens && read(user.id)?.refreshToken === tokens.refreshToken)
        localStorage.removeItem(TOKENS);
    },
  });
  return { user, chat };
}

const storeOf = (userId: string) => localStorageOutbox(`parley outbox ${userId}`);

/** Returns the tokens of this browser, or null if they belong to another user than `userId`. */
function read(userId?: string): Tokens | null {
  const tokens = JSON.parse(localStorage.getItem(TOKENS) ?? 'null') as Tokens | null;
  return userId === undefined || tokens?.user.id === userId ? tokens : null;
}

function write(tokens: Tokens): void {
  localStorage.setItem(TOKENS, JSON.stringify(tokens));
}
