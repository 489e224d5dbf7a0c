import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { Client, gql as urqlGql } from '@urql/core';
import { onTestFinished } from 'vitest';
import { addMessage, cachePolicies, createChatLink } from '../../client/apollo.ts';
import { cacheOptions, chatCacheExchange, chatExchange } from '../../client/urql.ts';
import type { Person } from '../support/client.ts';
import { chatOf } from './chatOf.ts';

const ROW = `__typename id number body cursor clientMessageId editedAt deletedAt chatroom { __typename id }
  sender { __typename id username }
  reactions { __typename emoji count viewerHasReacted }`;

export const SCREEN = `query Screen($room: ID!, $last: Int!) {
  viewer { __typename id unreadCount }
  chatroom(id: $room) {
    __typename id cursor unreadCount
    messages(last: $last) {
      __typename
      edges { __typename cursor node { ${ROW} } }
      pageInfo { __typename hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}`;

const BADGES = `query Badges($room: ID!) {
  viewer { __typename id unreadCount } chatroom(id: $room) { __typename id unreadCount }
}`;

const EVENTS = `subscription Events($room: ID!, $after: String) {
  chatroomEvents(chatroomId: $room, after: $after) {
    __typename cursor
    ... on MessageAdded { message { ${ROW} } }
    ... on MessageEdited { message { ${ROW} } }
    ... on MessageDeleted { message { ${ROW} } }
    ... on ReactionsChanged { message { ${ROW} } }
  }
}`;

const UNREAD = `subscription Unread {
  viewerEvents { __typename ... on UnreadChanged { totalUnreadCount chatroom { __typename id unreadCount } } }
}`;

const SEND = `mutation Send($input: SendMessageInput!) {
  sendMessage(input: $input) { __typename message { ${ROW} } }
}`;

/** Mutations of a message. Each may be repeated safely. */
const CHANGES = {
  edit: `mutation Edit($id: ID!, $body: String!) {
    editMessage(input: { messageId: $id, body: $body }) { __typename message { ${ROW} } }
  }`,
  remove: `mutation Remove($id: ID!) { deleteMessage(input: { messageId: $id }) { __typename message { ${ROW} } } }`,
  react: `mutation React($id: ID!) {
    addReaction(input: { messageId: $id, emoji: "🎉" }) { __typename message { ${ROW} } }
  }`,
};

/** A client's view of a room, and the actions of its user. */
export interface Screen {
  /** Returns the latest data of `SCREEN`. */
  data: () => any;
  send: (body: string) => Promise<unknown>;
  change: (kind: keyof typeof CHANGES, variables: { id: string; body?: string }) => Promise<unknown>;
}

export type OpenScreen = (person: Person, room: string) => Promise<Screen>;

/** Returns the optimistic result of a send, as `docs/clients.md` describes it. */
function optimisticAnswer(person: Person, { chatroomId, body, clientMessageId }: Record<string, string>) {
  return {
    __typename: 'SendMessagePayload' as const,
    message: {
      ...{ __typename: 'Message' as const, id: clientMessageId, clientMessageId, body, cursor: clientMessageId },
      ...{ number: Number.MAX_SAFE_INTEGER, editedAt: null, deletedAt: null, reactions: [] },
      chatroom: { __typename: 'Chatroom', id: chatroomId },
      sender: { __typename: 'User', id: person.id, username: person.username },
    },
  };
}

const inputOf = (chatroomId: string, body: string) => ({ chatroomId, body, clientMessageId: crypto.randomUUID() });

export const apolloScreen =
  (optimistic: boolean): OpenScreen =>
  async (person, room) => {
    const client = new ApolloClient({ link: createChatLink(chatOf(person)), cache: new InMemoryCache(cachePolicies) });
    const query = { query: gql(SCREEN), variables: { room, last: 10 } };
    const first = await client.query<any>(query);
    let latest: any = first.data;
    const refresh = () =>
      void client.query({
        query: gql(BADGES),
        variables: { room },
        fetchPolicy: 'network-only',
        context: { retry: true },
      });
    const add = (message: any) => {
      addMessage(client.cache, room, message);
    };
    const subscriptions = [
      client.watchQuery<any>(query).subscribe(({ data }) => {
        if (data?.chatroom) latest = data;
      }),
      client
        .subscribe<any>({ query: gql(EVENTS), variables: { room, after: latest.chatroom.cursor } })
        .subscribe(({ data }) => {
          if (data?.chatroomEvents.__typename === 'MessageAdded') add(data.chatroomEvents.message);
        }),
      client.subscribe({ query: gql(UNREAD), context: { onResumed: refresh } }).subscribe(() => undefined),
    ];
    onTestFinished(() => {
      for (const subscription of subscriptions) subscription.unsubscribe();
      client.stop();
    });
    return {
      data: () => latest,
      send(body) {
        const input = inputOf(room, body);
        return client.mutate<any>({
          ...{ mutation: gql(SEND), variables: { input } },
          ...(optimistic ? { optimisticResponse: { sendMessage: optimisticAnswer(person, input) } } : {}),
          update(_cache, { data }) {
            add(data.sendMessage.message);
          },
        });
      },
      change: (kind, variables) => client.mutate({ mutation: gql(CHANGES[kind]), variables, context: { retry: true } }),
    };
  };

export const urqlScreen =
  (optimistic: boolean): OpenScreen =>
  async (person, room) => {
    const cache = chatCacheExchange({
      ...cacheOptions,
      ...(optimistic ? { optimistic: { sendMessage: ({ input }: any) => optimisticAnswer(person, input) } } : {}),
    });
    const client = new Client({ url: `${person.url}/graphql`, exchanges: [cache, chatExchange(chatOf(person))] });
    const variables = { room, last: 10 };
    let latest: any = (await client.query<any>(urqlGql(SCREEN), variables).toPromise()).data;
    const refresh = () =>
      void client.query(urqlGql(BADGES), { room }, { requestPolicy: 'network-only', retry: true }).toPromise();
    const subscriptions = [
      client.query<any>(urqlGql(SCREEN), variables).subscribe(({ data }) => {
        if (data?.chatroom) latest = data;
      }),
      client.subscription(urqlGql(EVENTS), { room, after: latest.chatroom.cursor }).subscribe(() => undefined),
      client.subscription(urqlGql(UNREAD), {}, { onResumed: refresh }).subscribe(() => undefined),
    ];
    onTestFinished(() => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    });
    const mutate = async (document: string, values: object, retry: boolean) => {
      const { error } = await client.mutation(urqlGql(document), values, { retry }).toPromise();
      if (error) throw error;
    };
    return {
      data: () => latest,
      send: (body) => mutate(SEND, { input: inputOf(room, body) }, true),
      change: (kind, values) => mutate(CHANGES[kind], values, true),
    };
  };
