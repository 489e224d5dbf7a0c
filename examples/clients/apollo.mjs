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

const { data } = await client.query({ query: HISTORY, variables: { room } });
client.watchQuery({ query: HISTORY, variables: { room } }).subscribe(({ data }) => {
  const last = data?.chatroom?.messages.edges.at(-1)?.node;
  if (last) console.log(`${last.number} ${last.sender?.username ?? ''}: ${last.body}`);
});
client
  .subscribe({ query: ADDED, variables: { room, after: data.chatroom.cursor } })
  .subscribe(({ data: { messageAdded } }) => addMessage(client.cache, room, messageAdded.message));
