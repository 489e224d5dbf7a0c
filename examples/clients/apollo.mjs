// node examples/clients/apollo.mjs TOKEN CHATROOM_ID: keeps the history up to date, as one list in Apollo's cache.
import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { createChatClient } from '@parley/client';
import { addMessage, cachePolicies, createChatLink } from '@parley/client/apollo';
import WebSocket from 'ws';

const [token, room] = process.argv.slice(2);
const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const chat = createChatClient({ url, getAccessToken: () => token, webSocketImpl: WebSocket });
const client = new ApolloClient({ link: createChatLink(chat), cache: new InMemoryCache(cachePolicies) });

const MESSAGE = gql`
  fragment Row on Message {
    id
    number
    cursor
    clientMessageId
    body
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

client.watchQuery({ query: HISTORY, variables: { room }, fetchPolicy: 'cache-only' }).subscribe(({ data }) => {
  const last = data?.chatroom?.messages.edges.at(-1)?.node;
  if (last) console.log(`${last.number} ${last.sender?.username ?? ''}: ${last.body}`);
});
client.subscribe({ query: EVENTS, variables: { room } }).subscribe(({ data: { chatroomEvents: event } }) => {
  if (event.__typename === 'MessageAdded') addMessage(client.cache, room, event.message);
});
