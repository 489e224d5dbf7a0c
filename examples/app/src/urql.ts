import { Client } from '@urql/core';
import { cacheOptions, chatCacheExchange, chatExchange } from '@parley/client/urql';
import {
  HistoryDocument,
  MessageAddedDocument,
  type MessageRowFragment,
  RoomsDocument,
  SendMessageDocument,
  type SendMessageMutationVariables,
} from './generated/graphql.ts';
import type { Session } from './session.ts';

/** A client for one user. Drop it when the user signs out. */
export function createUrqlClient(url: string, session: Session): Client {
  const cache = chatCacheExchange({
    ...cacheOptions,
    optimistic: { sendMessage: (variables) => optimisticAnswer(session, variables as SendMessageMutationVariables) },
  });
  return new Client({ url, preferGetMethod: false, exchanges: [cache, chatExchange(session.chat)] });
}

/**
 * Loads the rooms, then subscribes to new messages after the cursor of the answer, so that no message is missed between the
 * two. `cacheOptions` puts each into its room. Returns a function that ends the subscription.
 */
export async function followMessages(client: Client): Promise<() => void> {
  const { data, error } = await client.query(RoomsDocument, {}, { retry: true });
  if (error) throw error;
  const after = data?.viewer?.cursor ?? null;
  const subscription = client.subscription(MessageAddedDocument, { after }).subscribe(({ error }) => {
    if (error) console.error(error);
  });
  return () => {
    subscription.unsubscribe();
  };
}

/** Calls the listener with the messages of a room, oldest first, again after each change. `loadOlder` adds the page before. */
export function watchHistory(client: Client, room: string, listener: (messages: MessageRowFragment[]) => void) {
  let older: string | null = null;
  const subscription = client.query(HistoryDocument, { room }, { retry: true }).subscribe(({ data, error }) => {
    if (error) console.error(error);
    const { edges, pageInfo } = data?.chatroom?.messages ?? {};
    older = (pageInfo?.hasPreviousPage && pageInfo.startCursor) || null;
    if (edges) listener(edges.map(({ node }) => node));
  });
  return {
    unsubscribe: () => {
      subscription.unsubscribe();
    },
    async loadOlder() {
      if (older !== null) await client.query(HistoryDocument, { room, before: older }, { retry: true });
    },
  };
}

/** Sends a message and shows it at once. */
export async function sendMessage(client: Client, room: string, body: string): Promise<void> {
  const input = { chatroomId: room, body, clientMessageId: crypto.randomUUID() };
  // Sends again until there is an answer: the clientMessageId makes it one message.
  const { error } = await client.mutation(SendMessageDocument, { input }, { retry: true });
  if (error) throw error;
}

function optimisticAnswer({ user }: Session, { input }: SendMessageMutationVariables) {
  const { chatroomId, clientMessageId, body } = input;
  return {
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
      chatroom: { __typename: 'Chatroom', id: chatroomId },
      sender: { __typename: 'User', ...user },
    },
  };
}
