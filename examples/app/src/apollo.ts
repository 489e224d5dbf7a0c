import { ApolloClient, InMemoryCache } from '@apollo/client';
import { addMessage, cachePolicies, type ChatContext, createChatLink } from '@parley/client/apollo';
import {
  HistoryDocument,
  MarkReadDocument,
  MessageAddedDocument,
  type MessageRowFragment,
  RoomEventsDocument,
  type RoomRowFragment,
  RoomsDocument,
  type RoomsQuery,
  type RoomsQueryVariables,
  SendMessageDocument,
  ViewerEventsDocument,
} from './generated/graphql.ts';
import { createSerial } from './serial.ts';
import type { Session } from './session.ts';

// `satisfies ChatContext` finds misspelt options, because Apollo Client accepts any context.
const retry = { retry: true } satisfies ChatContext;

/** Creates a client for one user. When the user signs out, call `client.stop()` and discard the client. */
export function createApolloClient({ chat }: Session): ApolloClient {
  return new ApolloClient({ link: createChatLink(chat), cache: new InMemoryCache(cachePolicies) });
}

/** Number of rooms per page, as in the query. */
const PAGE_SIZE = 30;
/** Events after which the list of rooms is loaded again. */
const CHANGES_OF_LIST = new Set(['ChatroomAppeared', 'ChatroomVanished', 'BlockChanged']);

/**
 * Loads the rooms and keeps them up to date. Queries first, then subscribes after the cursor of the response, so that
 * no event between the two is missed. Calls the listener with the rooms and the number of unread messages, and again
 * after each change. `loadMore` loads the next page.
 */
export async function followRooms(
  client: ApolloClient,
  listener: (rooms: RoomRowFragment[], unreadCount: number) => void,
): Promise<{ close: () => void; loadMore: () => Promise<unknown> }> {
  let viewer: RoomsQuery['viewer'];
  let pages = 1;
  let isLoading = false;
  const show = () => {
    // While the pages are loading, the list lacks some of them.
    if (!viewer || isLoading) return;
    const rooms = viewer.chatrooms.edges.map(({ node }) => node);
    listener(rooms.sort(byActivity), viewer.unreadCount);
  };
  // Loads as many pages as before, because a new order of the rooms changes the cursors of all pages.
  const load = createSerial(async () => {
    isLoading = true;
    try {
      let cursor: string | undefined;
      let after: string | undefined;
      for (let page = 1; page <= pages; page += 1) {
        const variables: RoomsQueryVariables = { after };
        const { data } = await client.query({
          ...{ query: RoomsDocument, variables, fetchPolicy: 'network-only', context: retry },
        });
        cursor ??= data?.viewer?.cursor;
        // The result contains the pages before this one, too.
        after = data?.viewer?.chatrooms.edges[page * PAGE_SIZE - 1]?.cursor;
        if (!after) break;
      }
      return cursor ?? '';
    } finally {
      isLoading = false;
      show();
    }
  });
  const reload = () => void load().catch(console.error);
  const variables = { after: await load() };
  const subscriptions = [
    client.watchQuery({ query: RoomsDocument }).subscribe(({ data, dataState }) => {
      if (dataState === 'complete') viewer = data.viewer ?? viewer;
      show();
    }),
    client
      .subscribe({ query: MessageAddedDocument, variables, context: { onResync: load } satisfies ChatContext })
      .subscribe({
        next({ data }) {
          if (!data?.messageAdded) return;
          const { chatroom, message } = data.messageAdded;
          addMessage(client.cache, chatroom.id, message);
          // A room that is not loaded moves to the first page.
          if (!viewer?.chatrooms.edges.some(({ node }) => node.id === chatroom.id)) reload();
        },
        error: console.error,
      }),
    // After a reconnect, the stream replays rooms that appeared or vanished, but not unread counts, so they are loaded.
    client
      .subscribe({
        query: ViewerEventsDocument,
        variables,
        context: { onResync: load, onResumed: reload } satisfies ChatContext,
      })
      .subscribe({
        next({ data }) {
          const type = data?.viewerEvents?.__typename;
          // After `BlockChanged`, the cache loads the messages of the open room again.
          if (type && CHANGES_OF_LIST.has(type)) reload();
        },
        error: console.error,
      }),
  ];
  return {
    close: () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
    loadMore() {
      if (viewer?.chatrooms.pageInfo.hasNextPage) pages = Math.floor(viewer.chatrooms.edges.length / PAGE_SIZE) + 1;
      return load();
    },
  };
}

const lastActive = ({ lastMessageAt, createdAt }: RoomRowFragment) => lastMessageAt ?? createdAt;
const byActivity = (a: RoomRowFragment, b: RoomRowFragment) => (lastActive(a) < lastActive(b) ? 1 : -1);

/**
 * Loads the newest messages of a room and keeps them up to date: new messages, edits, deletions, reactions. Calls the
 * listener with the messages, oldest first, and again after each change. `loadOlder` loads the previous page.
 */
export async function openRoom(
  client: ApolloClient,
  room: string,
  listener: (messages: MessageRowFragment[]) => void,
): Promise<{ close: () => void; loadOlder: () => Promise<void> }> {
  const load = async () => {
    const { data } = await client.query({
      ...{ query: HistoryDocument, variables: { room }, fetchPolicy: 'network-only', context: retry },
    });
    return data?.chatroom?.cursor ?? '';
  };
  const variables = { room, after: await load() };
  const query = client.watchQuery({ query: HistoryDocument, variables: { room }, context: retry });
  const subscriptions = [
    query.subscribe(({ data, dataState }) => {
      if (dataState === 'complete') listener(data.chatroom?.messages?.edges.map(({ node }) => node) ?? []);
    }),
    client
      .subscribe({ query: RoomEventsDocument, variables, context: { onResync: load } satisfies ChatContext })
      .subscribe({
        next({ data }) {
          // The cache applies changes of messages automatically. A new message has to be added to the list.
          const event = data?.chatroomEvents;
          if (event?.__typename === 'MessageAdded') addMessage(client.cache, room, event.message);
        },
        error: console.error,
      }),
  ];
  return {
    close: () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
    async loadOlder() {
      const { startCursor, hasPreviousPage } = query.getCurrentResult().data?.chatroom?.messages?.pageInfo ?? {};
      if (hasPreviousPage) await query.fetchMore({ variables: { before: startCursor } });
    },
  };
}

/** Marks a message and all earlier ones as read. Call this with the newest message while the user sees it. */
export async function markRead(client: ApolloClient, message: string): Promise<void> {
  await client.mutate({ mutation: MarkReadDocument, variables: { message }, context: retry });
}

/** Sends a message and shows it at once. */
export async function sendMessage(client: ApolloClient, { user }: Session, room: string, body: string): Promise<void> {
  const clientMessageId = crypto.randomUUID();
  await client.mutate({
    mutation: SendMessageDocument,
    variables: { input: { chatroomId: room, body, clientMessageId } },
    // Retries until there is a response. The server stores one message for each clientMessageId.
    context: retry,
    optimisticResponse: {
      sendMessage: {
        __typename: 'SendMessagePayload',
        message: {
          __typename: 'Message',
          // Until the message is stored, its id and cursor are the clientMessageId, and the number sorts it last.
          id: clientMessageId,
          cursor: clientMessageId,
          number: Number.MAX_SAFE_INTEGER,
          clientMessageId,
          body,
          createdAt: new Date().toISOString(),
          editedAt: null,
          deletedAt: null,
          chatroom: { __typename: 'Chatroom', id: room },
          sender: { __typename: 'User', ...user },
          reactions: [],
        },
      },
    },
    update(cache, { data }) {
      if (data?.sendMessage) addMessage(cache, room, data.sendMessage.message);
    },
  });
}
