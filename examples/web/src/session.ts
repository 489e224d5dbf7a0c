import { ApolloClient, InMemoryCache } from '@apollo/client';
import { type ChatClient, createChatClient, isChatError, localStorageOutbox } from '@parley/client';
import { cachePolicies, createChatLink } from '@parley/client/apollo';
import type { ChatCache } from '@parley/client/react';
import { apolloCache } from '@parley/client/react/apollo';
import { createContext, use } from 'react';
import { RefreshDocument, SignOutDocument, WhoAmIDocument } from '../generated/graphql.ts';
import { forgetDrafts } from './room/drafts.ts';

/**
 * Who is signed in, and how the page talks to the server.
 *
 * The tokens are in HttpOnly cookies: no script can read them, and a reload finds the session again.
 */
export interface Session {
  /** The id of the viewer as a user. */
  viewerId: string;
  chat: ChatClient;
  apollo: ApolloClient;
  cache: ChatCache;
  /** Ends the session on the server, and so in all tabs. */
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
        // That all have read it and the message itself come over streams of their own, in any order: seen is seen.
        seenByAll: { merge: (known: boolean | undefined, told: boolean) => known === true || told },
      },
    },
    // Of one event after the other, the latest is all that is kept here.
    Subscription: { fields: { chatroomEvents: { merge: false }, viewerEvents: { merge: false } } },
  },
};

const url = new URL('/graphql', location.href).href;

/** For who is not signed in yet. */
const visitor = createChatClient({ url, getAccessToken: () => null, refresh });

/** Sends an operation that needs no session. */
export const ask: ChatClient['execute'] = (document, variables) => visitor.execute(document, variables);

/** Whose cookies these are: the user's id, or null for nobody's. */
export async function findSession(): Promise<string | null> {
  try {
    const { viewer } = await ask(WhoAmIDocument, {});
    return viewer?.user.id ?? null;
  } catch (error) {
    if (isChatError(error, 'UNAUTHENTICATED') || isChatError(error, 'TOKEN_EXPIRED')) return null;
    throw error;
  }
}

/** A cache for this viewer alone, and one connection. `onEnd` hears when the session has ended elsewhere. */
export function openSession(viewerId: string, onEnd: () => void): Session {
  const chat = createChatClient({
    url,
    getAccessToken: () => null,
    refresh,
    outboxStore: localStorageOutbox(`parley outbox ${viewerId}`),
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
      forgetDrafts(viewerId);
      announceSession();
      onEnd();
    },
    close() {
      chat.close();
      apollo.stop();
    },
  };
}

/** Trades the refresh token in the cookie; null where it is not good any more. */
async function refresh(): Promise<string | null> {
  try {
    const { refreshSession } = await ask(RefreshDocument, {});
    return refreshSession?.accessTokenExpiresAt ?? null;
  } catch (error) {
    // Without a cookie there is nothing to trade.
    if (isChatError(error, 'UNAUTHENTICATED') || isChatError(error, 'BAD_USER_INPUT')) return null;
    throw error;
  }
}

/** Tabs share the cookies: when one becomes somebody else, the others must not go on as who they were. */
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
  if (!session) throw new Error('useSession is for what is inside a SessionContext.');
  return session;
}
