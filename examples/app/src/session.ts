import { type ChatClient, createChatClient, localStorageOutbox } from '@parley/client';
import { RefreshSessionDocument, SignInDocument, SignOutDocument } from './generated/graphql.ts';

/** Storage key of the tokens. All tabs share them, so a refresh in one tab applies to all. */
const TOKENS = 'parley tokens';
/** Storage key of the device token, which stays after sign-out. It lets this device sign in while others guess the password. */
const DEVICE_TOKEN = 'parley device token';

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

/** Ends the session on the server. Also discard the cache of Apollo Client or urql. */
export async function signOut({ chat }: Session): Promise<void> {
  await chat.execute(SignOutDocument, {});
  localStorage.removeItem(TOKENS);
  chat.close();
}

/** Creates a client for the signed-in user. */
function open(url: string, user: Session['user']): Session {
  const chat: ChatClient = createChatClient({
    url,
    getAccessToken: () => read()?.accessToken ?? null,
    // Messages of `chat.send` that the server has not stored yet survive a reload.
    outboxStore: localStorageOutbox(`parley outbox ${user.id}`),
    // Called when the access token has expired, in one tab at a time. UNAUTHENTICATED means that the session has ended.
    async refresh() {
      const tokens = read();
      if (!tokens) return null;
      const { refreshToken, user } = tokens;
      const { refreshSession } = await chat.execute(RefreshSessionDocument, { refreshToken });
      if (!refreshSession?.refreshToken) return null;
      write({ accessToken: refreshSession.accessToken, refreshToken: refreshSession.refreshToken, user });
      return refreshSession.accessToken;
    },
    onState(state) {
      if (state === 'signed-out') localStorage.removeItem(TOKENS);
    },
  });
  return { user, chat };
}

function read(): Tokens | null {
  return JSON.parse(localStorage.getItem(TOKENS) ?? 'null') as Tokens | null;
}

function write(tokens: Tokens): void {
  localStorage.setItem(TOKENS, JSON.stringify(tokens));
}
