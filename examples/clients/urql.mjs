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
const HISTORY = gql`
  query History($room: ID!, $before: String) {
    chatroom(id: $room) {
      id
      cursor
      messages(last: 50, before: $before) {
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
    }
  }
  ${MESSAGE}
`;
const ADDED = gql`
  subscription Added($room: ID!, $after: String) {
    messageAdded(chatroomId: $room, after: $after) {
      cursor
      message {
        ...Row
      }
    }
  }
  ${MESSAGE}
`;

const { data } = await client.query(HISTORY, { room }).toPromise();
client.query(HISTORY, { room }).subscribe(({ data }) => {
  const last = data?.chatroom?.messages.edges.at(-1)?.node;
  if (last) console.log(`${last.number} ${last.sender?.username ?? ''}: ${last.body}`);
});
client.subscription(ADDED, { room, after: data.chatroom.cursor }).subscribe(() => undefined);
