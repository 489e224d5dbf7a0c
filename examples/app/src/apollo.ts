import { ApolloClient, InMemoryCache } from '@apollo/client';
import { addMessage, cachePolicies, type ChatContext, createChatLink } from '@parley/client/apollo';
import {
  HistoryDocument,
  MarkReadDocument,
  MessageAddedDocument,
  type MessageRowFragment,
  RemoveLinkPreviewDocument,
  RoomEventsDocument,
  type RoomRowFragment,
  RoomsDocument,
  SendMessageDocument,
  SetAvatarDocument,
  SetRoomAvatarDocument,
  UserRowFragmentDoc,
  ViewerEventsDocument,
} from './generated/graphql.ts';
import { createRoomList } from './roomList.ts';
import type { Session } from './session.ts';

// `satisfies ChatContext` finds misspelt options, because Apollo Client accepts any context.
const retry = { retry: true } satisfies ChatContext;

/** Creates a client for one user. When the user signs out, call `client.stop()` and discard the client. */
export function createApolloClient({ chat }: Session): ApolloClient {
  return new ApolloClient({ link: createChatLink(chat), cache: new InMemoryCache(cachePolicies) });
}

/**
 * Loads the rooms and keeps them up to date. Queries first, then subscribes after the cursor of the response, so that
 * no event between the two is missed. Calls the listener with the rooms and the number of unread messages, and again
 * after each change. `loadMore` loads the next page.
 */
export async function followRooms(
  client: ApolloClient,
  listener: (rooms: RoomRowFragment[], unreadCount: number) => void,
): Promise<{ close: () => void; loadMore: () => Promise<unknown> }> {
  const list = createRoomList(
    async (variables) =>
      (await client.query({ query: RoomsDocument, variables, fetchPolicy: 'network-only', context: retry })).data,
    listener,
  );
  const { load, reload } = list;
  const variables = { after: await load() };
  const subscriptions = [
    client.watchQuery({ query: RoomsDocument }).subscribe(({ data, dataState }) => {
      list.show(dataState === 'complete' ? data : undefined);
    }),
    client
      .subscribe({ query: MessageAddedDocument, variables, context: { onResync: load } satisfies ChatContext })
      .subscribe({
        next({ data }) {
          if (!data?.messageAdded) return;
          const { chatroom, message } = data.messageAdded;
          addMessage(client.cache, chatroom.id, message);
          list.onMessage(chatroom.id);
        },
        error: console.error,
      }),
    // The stream replays rooms that appeared or vanished, but not unread counts. They are loaded after each start.
    client
      .subscribe({
        query: ViewerEventsDocument,
        variables,
        context: { onResync: load, onStarted: reload } satisfies ChatContext,
      })
      .subscribe({
        next({ data }) {
          list.onViewerEvent(data?.viewerEvents?.__typename);
        },
        error: console.error,
      }),
  ];
  return {
    close: () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
    loadMore: list.loadMore,
  };
}

/**
 * Opens a room with one subscription: a snapshot with the newest messages, then new messages, edits, deletions,
 * reactions, files that are ready, link previews and avatars of the room. Calls the listener with the messages, oldest first, and again after each change.
 * `loadOlder` loads the previous page.
 */
export function openRoom(
  client: ApolloClient,
  room: string,
  listener: (messages: MessageRowFragment[]) => void,
): { close: () => void; loadOlder: () => Promise<void> } {
  const query = client.watchQuery({ query: HistoryDocument, variables: { room }, context: retry });
  const show = () =>
    query.subscribe(({ data, dataState }) => {
      if (dataState === 'complete') listener(data.chatroom?.messages?.edges.map(({ node }) => node) ?? []);
    });
  let shown: ReturnType<typeof show> | undefined;
  const events = client.subscribe({ query: RoomEventsDocument, variables: { room } }).subscribe({
    next({ data }) {
      const event = data?.chatroomEvents;
      // The snapshot has been written to the cache, where the query finds it.
      if (event?.__typename === 'RoomSnapshot') shown ??= show();
      // The cache applies changes of messages automatically. A new message has to be added to the list.
      if (event?.__typename === 'MessageAdded') addMessage(client.cache, room, event.message);
    },
    error: console.error,
  });
  return {
    close: () => {
      events.unsubscribe();
      shown?.unsubscribe();
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
  const id = client.cache.identify({ __typename: 'User', id: user.id });
  const sender = client.readFragment({ id, fragment: UserRowFragmentDoc, fragmentName: 'UserRow' });
  await client.mutate({
    mutation: SendMessageDocument,
    // The previews of links arrive later, with `LinkPreviewsChanged`.
    variables: { input: { chatroomId: room, body, clientMessageId, linkPreviews: 'AUTO' } },
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
          sender: sender ?? { __typename: 'User', ...user, avatar: null },
          reactions: [],
          attachments: [],
          linkPreviews: [],
        },
      },
    },
    update(cache, { data }) {
      if (data?.sendMessage) addMessage(cache, room, data.sendMessage.message);
    },
  });
}

/** Sets the avatar of the viewer to an upload with the purpose AVATAR. Null removes the avatar. */
export async function setAvatar(client: ApolloClient, attachment: string | null): Promise<void> {
  await client.mutate({ mutation: SetAvatarDocument, variables: { attachment } });
}

/** Sets the avatar of a room, as its owner or an admin. */
export async function setRoomAvatar(client: ApolloClient, room: string, attachment: string | null): Promise<void> {
  await client.mutate({ mutation: SetRoomAvatarDocument, variables: { room, attachment } });
}

/** Removes a link preview of a message, as its sender, the owner of the room or an admin. */
export async function removePreview(client: ApolloClient, message: string, preview: string): Promise<void> {
  await client.mutate({ mutation: RemoveLinkPreviewDocument, variables: { message, preview } });
}
