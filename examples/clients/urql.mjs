// node examples/clients/urql.mjs TOKEN CHATROOM_ID: keeps the history up to date, as one list in urql's graphcache.
import { Client, gql } from '@urql/core';
import { createChatClient } from '@parley/client';
import { chatCacheExchange, chatExchange } from '@parley/client/urql';
import WebSocket from 'ws';

const [token, room] = process.argv.slice(2);
const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const chat = createChatClient({ url, getAccessToken: () => token, webSocketImpl: WebSocket });
const client = new Client({ url, exchanges: [chatCacheExchange(), chatExchange(chat)] });

const MESSAGE = gql`
  fragment Row on Message {
    id
    number
    cursor
    clientMessageId
    body
    chatroom {
      id
    }
    sender {
      id
      username
    }
  }
`;
const PAGE = gql`
  fragment Page on MessageConnection {
    edges {
      cursor
      node {
        ...Row
      }
    }
    pageInfo {
      hasPreviousPage
      hasNextPage
      startCursor
      endCursor
    }
  }
  ${MESSAGE}
`;
const HISTORY = gql`
  query History($room: ID!, $before: String) {
    chatroom(id: $room) {
      id
      messages(last: 50, before: $before) {
        ...Page
      }
    }
  }
  ${PAGE}
`;
// The first event has the newest messages, in one state of the database. The other events continue exactly after it.
const EVENTS = gql`
  subscription Events($room: ID!, $after: String) {
    chatroomEvents(chatroomId: $room, after: $after, snapshot: true) {
      __typename
      cursor
      ... on RoomSnapshot {
        chatroom {
          id
          messages(last: 50) {
            ...Page
          }
        }
      }
      ... on MessageAdded {
        message {
          ...Row
        }
      }
    }
  }
  ${PAGE}
`;

client.query(HISTORY, { room }, { requestPolicy: 'cache-only' }).subscribe(({ data }) => {
  const last = data?.chatroom?.messages.edges.at(-1)?.node;
  if (last) console.log(`${last.number} ${last.sender?.username ?? ''}: ${last.body}`);
});
client.subscription(EVENTS, { room }).subscribe(() => undefined);
