/** Operations of the client tests, as texts. Each client parses them itself. */

const MESSAGE = '__typename id number body cursor clientMessageId chatroom { id } sender { id username }';

export const HISTORY = `query History($room: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  chatroom(id: $room) {
    __typename id cursor
    messages(first: $first, after: $after, last: $last, before: $before) {
      __typename
      edges { __typename cursor node { ${MESSAGE} } }
      pageInfo { __typename hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}`;

export const CURSOR = 'query Cursor($room: ID!) { chatroom(id: $room) { id cursor } }';

export const SEND = `mutation Send($input: SendMessageInput!) {
  sendMessage(input: $input) { __typename message { ${MESSAGE} } }
}`;

export const MESSAGE_ADDED = `subscription InRoom($room: ID!, $after: String) {
  messageAdded(chatroomId: $room, after: $after) { __typename cursor message { ${MESSAGE} } }
}`;

export const ANYWHERE = `subscription Anywhere($after: String) {
  messageAdded(after: $after) { __typename cursor message { ${MESSAGE} } }
}`;

export const EVENTS = `subscription Events($room: ID!, $after: String) {
  chatroomEvents(chatroomId: $room, after: $after) {
    __typename cursor ... on MessageAdded { message { ${MESSAGE} } }
  }
}`;

export const VIEWER_EVENTS = `subscription ($after: String) { viewerEvents(after: $after) {
  __typename
  ... on ChatroomAppeared { cursor chatroom { id } }
  ... on ChatroomVanished { cursor chatroomId }
} }`;
