import { ApolloClient, InMemoryCache } from '@apollo/client';
import { ChatError, type ChatClient, createChatClient, isChatError, localStorageOutbox } from '@parley/client';
import { cachePolicies, createChatLink } from '@parley/client/apollo';
import type { ChatCache } from '@parley/client/react';
import { apolloCache } from '@parley/client/react/apollo';
import { createContext, use } from 'react';
import { RefreshDocument, SignOutDocument, WhoAmIDocument } from '../generated/graphql.ts';
import { forgetDrafts } from './room/drafts.ts';

/**
 * The signed-in user, and the clients of this session.
 *
 * The tokens are in HttpOnly cookies. Scripts cannot read them, and the session survives a reload.
 */
export interface Session {
  /** Id of the signed-in user. */
  viewerId: string;
  chat: ChatClient;
  apollo: ApolloClient;
  cache: ChatCache;
  /** Ends the session on the server, which signs out all tabs. Deletes the user's drafts and unsent messages. */
  signOut: () => Promise<void>;
  close: () => void;
}

const policies = {
  ...cachePolicies,
  typePolicies: {
    ...cachePolicies.typePolicies,
    Message: {
      fields: {
        ...cachePolicies.typePolicies?.['Message']?.fields,
        // The message and its `seenByAll` arrive by different streams in any order. A seen message never becomes
        // unseen.
        seenByAll: { merge: (known: boolean | undefined, incoming: boolean) => known === true || incoming },
      },
    },
    // Each event replaces the previous event, because events are not parts of one object.
    Subscription: { fields: { chatroomEvents: { merge: false }, viewerEvents: { merge: false } } },
  },
};

const url = new URL('/graphql', location.href).href;

/** Client for operations before sign-in. */
const visitor = createChatClient({ url, getAccessToken: () => null, refresh });

/** Sends an operation that needs no session. */
export const ask: ChatClient['execute'] = (document, variables, options) =>
  visitor.execute(document, variables, options);

/** Storage key of the id of the user to whom the cookies belong, because scripts cannot read the cookies. */
const VIEWER = 'parley viewer';

function setViewer(viewerId: string | null): void {
  if (viewerId === null) localStorage.removeItem(VIEWER);
  else localStorage.setItem(VIEWER, viewerId);
}

/** Returns the id of the user to whom the cookies belong, or null if nobody is signed in. */
export async function findSession(): Promise<string | null> {
  const viewerId = await askViewer();
  setViewer(viewerId);
  return viewerId;
}

async function askViewer(): Promise<string | null> {
  try {
    const { viewer } = await ask(WhoAmIDocument, {}, { retry: true });
    return viewer?.user.id ?? null;
  } catch (error) {
    if (isChatError(error, 'UNAUTHENTICATED') || isChatError(error, 'TOKEN_EXPIRED')) return null;
    throw error;
  }
}

/** Creates a cache and a chat client for this viewer. `onEnd` is called when the session has ended. */
export function openSession(viewerId: string, onEnd: () => void): Session {
  const outboxStore = localStorageOutbox(`parley outbox ${viewerId}`);
  const chat = createChatClient({
    url,
    getAccessToken() {
      // After another user has signed in in another tab, the cookies belong to that user. Messages of this tab would
      // then be sent as that user.
      if (localStorage.getItem(VIEWER) === viewerId) return null;
      throw new ChatError({ code: 'UNAUTHENTICATED', message: 'You have signed out in another tab. Reload the page.' });
    },
    refresh,
    outboxStore,
    onState: (state) => {
      if (state === 'signed-out') onEnd();
    },
  });
  const apollo = new ApolloClient({ link: createChatLink(chat), cache: new InMemoryCache(policies) });
  return {
    viewerId,
    chat,
    apollo,
    cache: apolloCache(apollo),
    async signOut() {
      await chat.execute(SignOutDocument, {});
      setViewer(null);
      // Closes the client before the store is emptied, because a closed client no longer writes to the store.
      chat.close();
      forgetDrafts(viewerId);
      for (const entry of await outboxStore.load()) await outboxStore.delete(entry);
      announceSession();
      onEnd();
    },
    close() {
      chat.close();
      apollo.stop();
    },
  };
}

/**
 * Exchanges the refresh token in the cookie. Returns null if the token is no longer valid. Otherwise returns the expiry
 * of the new access token, because scripts cannot read the token itself.
 */
async function refresh(): Promise<string | null> {
  try {
    const { refreshSession } = await ask(RefreshDocument, {});
    return refreshSession?.accessTokenExpiresAt ?? null;
  } catch (error) {
    // The server returns BAD_USER_INPUT if there is no cookie.
    if (isChatError(error, 'UNAUTHENTICATED') || isChatError(error, 'BAD_USER_INPUT')) return null;
    throw error;
  }
}

/**
 * Notifies other tabs when the user changes. Tabs share the cookies, so they must not continue with the previous user.
 */
const tabs = new BroadcastChannel('parley session');

export function announceSession(): void {
  tabs.postMessage('changed');
}

export function onOtherSession(listener: () => void): () => void {
  tabs.addEventListener('message', listener);
  return () => tabs.removeEventListener('message', listener);
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = use(SessionContext);
  if (!session) throw new Error('useSession must be called inside a SessionContext.');
  return session;
}
