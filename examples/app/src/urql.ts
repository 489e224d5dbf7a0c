import { Client } from '@urql/core';
import { cacheOptions, chatCacheExchange, chatExchange } from '@parley/client/urql';
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
  type SendMessageMutation,
  type SendMessageMutationVariables,
  SetAvatarDocument,
  SetRoomAvatarDocument,
  type UserRowFragment,
  UserRowFragmentDoc,
  ViewerEventsDocument,
} from './generated/graphql.ts';
import { createRoomList } from './roomList.ts';
import type { Session } from './session.ts';

/** Creates a client for one user. Discard the client when the user signs out. */
export function createUrqlClient(url: string, session: Session): Client {
  const cache = chatCacheExchange({
    ...cacheOptions,
    optimistic: {
      sendMessage(variables, store) {
        const { user } = session;
        const sender = store.readFragment(UserRowFragmentDoc, { __typename: 'User', id: user.id });
        return optimisticAnswer(
          sender ?? { __typename: 'User', ...user, avatar: null },
          variables as SendMessageMutationVariables,
        );
      },
    },
  });
  return new Client({ url, preferGetMethod: false, exchanges: [cache, chatExchange(session.chat)] });
}

/**
 * Loads the rooms and keeps them up to date. Queries first, then subscribes after the cursor of the response, so that
 * no event between the two is missed. Calls the listener with the rooms and the number of unread messages, and again
 * after each change. `loadMore` loads the next page.
 */
export async function followRooms(
  client: Client,
  listener: (rooms: RoomRowFragment[], unreadCount: number) => void,
): Promise<{ close: () => void; loadMore: () => Promise<unknown> }> {
  const list = createRoomList(async (variables) => {
    const { data, error } = await client.query(RoomsDocument, variables, {
      requestPolicy: 'network-only',
      retry: true,
    });
    if (error) throw error;
    return data;
  }, listener);
  const { load, reload } = list;
  const variables = { after: await load() };
  const subscriptions = [
    client.query(RoomsDocument, {}).subscribe(({ data }) => {
      list.show(data);
    }),
    // The cache adds each new message to its room.
    client.subscription(MessageAddedDocument, variables, { onResync: load }).subscribe(({ data, error }) => {
      if (error) console.error(error);
      if (data?.messageAdded) list.onMessage(data.messageAdded.chatroom.id);
    }),
    // The stream replays rooms that appeared or vanished, but not unread counts. They are loaded after each start.
    client
      .subscription(ViewerEventsDocument, variables, { onResync: load, onStarted: reload })
      .subscribe(({ data, error }) => {
        if (error) console.error(error);
        list.onViewerEvent(data?.viewerEvents?.__typename);
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
  client: Client,
  room: string,
  listener: (messages: MessageRowFragment[]) => void,
): { close: () => void; loadOlder: () => Promise<void> } {
  let older: string | null = null;
  const show = () =>
    client.query(HistoryDocument, { room }, { retry: true }).subscribe(({ data, error }) => {
      if (error) console.error(error);
      const { edges, pageInfo } = data?.chatroom?.messages ?? {};
      older = (pageInfo?.hasPreviousPage && pageInfo.startCursor) || null;
      if (edges) listener(edges.map(({ node }) => node));
    });
  let shown: ReturnType<typeof show> | undefined;
  // The cache applies the snapshot, new messages and changes of messages automatically.
  const events = client.subscription(RoomEventsDocument, { room }).subscribe(({ data, error }) => {
    if (error) console.error(error);
    if (data?.chatroomEvents?.__typename === 'RoomSnapshot') shown ??= show();
  });
  return {
    close: () => {
      events.unsubscribe();
      shown?.unsubscribe();
    },
    async loadOlder() {
      if (older !== null) await client.query(HistoryDocument, { room, before: older }, { retry: true });
    },
  };
}

/** Marks a message and all earlier ones as read. Call this with the newest message while the user sees it. */
export async function markRead(client: Client, message: string): Promise<void> {
  const { error } = await client.mutation(MarkReadDocument, { message }, { retry: true });
  if (error) throw error;
}

/** Sends a message and shows it at once. */
export async function sendMessage(client: Client, room: string, body: string): Promise<void> {
  // The previews of links arrive later, with `LinkPreviewsChanged`.
  const input = { chatroomId: room, body, clientMessageId: crypto.randomUUID(), linkPreviews: 'AUTO' as const };
  // Retries until there is a response. The server stores one message for each clientMessageId.
  const { error } = await client.mutation(SendMessageDocument, { input }, { retry: true });
  if (error) throw error;
}

/**
 * Returns the optimistic message. The return type makes a missing field an error, because graphcache leaves out a
 * message that lacks a field.
 */
function optimisticAnswer(
  sender: UserRowFragment,
  { input }: SendMessageMutationVariables,
): NonNullable<SendMessageMutation['sendMessage']> {
  const { chatroomId, clientMessageId, body } = input;
  // Until the message is stored, its id and cursor are the clientMessageId, and the number sorts it last.
  const id = clientMessageId ?? crypto.randomUUID();
  return {
    __typename: 'SendMessagePayload',
    message: {
      __typename: 'Message',
      id,
      cursor: id,
      number: Number.MAX_SAFE_INTEGER,
      clientMessageId: id,
      body,
      createdAt: new Date().toISOString(),
      editedAt: null,
      deletedAt: null,
      // Only services may leave it out.
      chatroom: { __typename: 'Chatroom', id: chatroomId ?? '' },
      sender,
      reactions: [],
      attachments: [],
      linkPreviews: [],
    },
  };
}

/** Sets the avatar of the viewer to an upload with the purpose AVATAR. Null removes the avatar. */
export async function setAvatar(client: Client, attachment: string | null): Promise<void> {
  const { error } = await client.mutation(SetAvatarDocument, { attachment });
  if (error) throw error;
}

/** Sets the avatar of a room, as its owner or an admin. */
export async function setRoomAvatar(client: Client, room: string, attachment: string | null): Promise<void> {
  const { error } = await client.mutation(SetRoomAvatarDocument, { room, attachment });
  if (error) throw error;
}

/** Removes a link preview of a message, as its sender, the owner of the room or an admin. */
export async function removePreview(client: Client, message: string, preview: string): Promise<void> {
  const { error } = await client.mutation(RemoveLinkPreviewDocument, { message, preview });
  if (error) throw error;
}
