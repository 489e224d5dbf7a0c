import { graphql } from 'relay-runtime';

export const roomQuery = graphql`
  query RoomQuery($room: ID!) {
    chatroom(id: $room) {
      cursor
      ...Room_chatroom
    }
  }
`;

export const chatroomFragment = graphql`
  fragment Room_chatroom on Chatroom
  @refetchable(queryName: "RoomPaginationQuery")
  @argumentDefinitions(last: { type: "Int", defaultValue: 10 }, before: { type: "String" }) {
    messages(last: $last, before: $before) @connection(key: "Room_messages") {
      edges {
        node {
          id
          number
          body
        }
      }
    }
  }
`;

export const roomsFragment = graphql`
  fragment Room_viewer on Viewer
  @refetchable(queryName: "RoomViewerPaginationQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 10 }, after: { type: "String" }) {
    chatrooms(first: $first, after: $after) @connection(key: "Room_chatrooms") {
      edges {
        node {
          id
          name
        }
      }
    }
  }
`;

export const usersFragment = graphql`
  fragment Room_query on Query
  @refetchable(queryName: "RoomUsersPaginationQuery")
  @argumentDefinitions(
    first: { type: "Int", defaultValue: 10 }
    after: { type: "String" }
    search: { type: "String" }
  ) {
    users(first: $first, after: $after, search: $search) @connection(key: "Room_users") {
      edges {
        node {
          id
          username
        }
      }
    }
  }
`;

export const sendMutation = graphql`
  mutation RoomSendMutation($input: SendMessageInput!, $connections: [ID!]!) {
    sendMessage(input: $input) {
      edge @appendEdge(connections: $connections) {
        cursor
        node {
          id
          number
          body
        }
      }
    }
  }
`;

export const addedSubscription = graphql`
  subscription RoomAddedSubscription($room: ID!, $after: String, $connections: [ID!]!) {
    messageAdded(chatroomId: $room, after: $after) {
      cursor
      message @appendNode(connections: $connections, edgeTypeName: "MessageEdge") {
        id
        number
        body
      }
    }
  }
`;

export const leaveMutation = graphql`
  mutation RoomLeaveMutation($input: ChatroomTargetInput!, $connections: [ID!]!) {
    leaveChatroom(input: $input) {
      chatroomId @deleteEdge(connections: $connections)
      viewer {
        id
      }
    }
  }
`;
