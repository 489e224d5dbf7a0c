import { ApolloClient, InMemoryCache } from '@apollo/client';
import { addMessage, cachePolicies, createChatLink } from '@parley/client/apollo';
import {
  HistoryDocument,
  MessageAddedDocument,
  type MessageRowFragment,
  RoomsDocument,
  SendMessageDocument,
} from './generated/graphql.ts';
import type { Session } from './session.ts';

/** A client for one user. Call `client.stop()` and drop it when the user signs out. */
export function createApolloClient({ chat }: Session): ApolloClient {
  return new ApolloClient({ link: createChatLink(chat), cache: new InMemoryCache(cachePolicies) });
}

/**
 * Loads the rooms, then puts each new message into the cache: query first, then subscribe after the cursor of the answer, so
 * that no message is missed between the two. Returns a function that ends the subscription.
 */
export async function followMessages(client: ApolloClient): Promise<() => void> {
  const { data } = await client.query({ query: RoomsDocument, context: { retry: true } });
  const after = data?.viewer?.cursor ?? null;
  const subscription = client.subscribe({ query: MessageAddedDocument, variables: { after } }).subscribe({
    next({ data: event }) {
      if (!event?.messageAdded) return;
      const { chatroom, message } = event.messageAdded;
      addMessage(client.cache, chatroom.id, message);
    },
    error: console.error,
  });
  return () => {
    subscription.unsubscribe();
  };
}

/** Calls the listener with the messages of a room, oldest first, again after each change. `loadOlder` adds the page before. */
export function watchHistory(client: ApolloClient, room: string, listener: (messages: MessageRowFragment[]) => void) {
  const query = client.watchQuery({ query: HistoryDocument, variables: { room }, context: { retry: true } });
  const subscription = query.subscribe(({ data, dataState, error }) => {
    if (error) console.error(error);
    if (dataState === 'complete') listener(data.chatroom?.messages?.edges.map(({ node }) => node) ?? []);
  });
  return {
    unsubscribe: () => {
      subscription.unsubscribe();
    },
    async loadOlder() {
      const { startCursor, hasPreviousPage } = query.getCurrentResult().data?.chatroom?.messages?.pageInfo ?? {};
      if (hasPreviousPage) await query.fetchMore({ variables: { before: startCursor } });
    },
  };
}

/** Sends a message and shows it at once. */
export async function sendMessage(client: ApolloClient, { user }: Session, room: string, body: string): Promise<void> {
  const clientMessageId = crypto.randomUUID();
  await client.mutate({
    mutation: SendMessageDocument,
    variables: { input: { chatroomId: room, body, clientMessageId } },
    // Sends again until there is an answer: the clientMessageId makes it one message.
    context: { retry: true },
    optimisticResponse: {
      sendMessage: {
        __typename: 'SendMessagePayload',
        message: {
          __typename: 'Message',
          // Until the message is stored, its clientMessageId stands for its id and cursor, and the number places it last.
          id: clientMessageId,
          cursor: clientMessageId,
          number: Number.MAX_SAFE_INTEGER,
          clientMessageId,
          body,
          createdAt: new Date().toISOString(),
          chatroom: { __typename: 'Chatroom', id: room },
          sender: { __typename: 'User', ...user },
        },
      },
    },
    update(cache, { data }) {
      if (data?.sendMessage) addMessage(cache, room, data.sendMessage.message);
    },
  });
}
