import { type DefinitionNode, type DocumentNode, Kind, parse, print } from 'graphql';
import type { TypedDocument } from './cache.ts';
import type * as Default from './types.ts';

/** A fragment: a parsed document or a text, with the type that codegen gives to its data. */
export type Fragment<Data> = (DocumentNode | { toString(): string }) & { __apiType?: (variables: any) => Data };

/** Fields that an application selects of messages, rooms and users. Each fragment replaces the default selection. */
export interface Selections<Message = Default.Message, Room = Default.Room, User = Default.User> {
  /** A fragment on `Message`. */
  message?: Fragment<Message>;
  /** A fragment on `Chatroom`. */
  room?: Fragment<Room>;
  /** A fragment on `User`, for people who type or are online. */
  user?: Fragment<User>;
}

/** Properties of a message that the hooks select besides the application's fragment. */
export interface MessageKey {
  id: string;
  number: number;
  cursor: string;
  clientMessageId?: string | null;
}

/** Properties of a room that the hooks select besides the application's fragment. */
export interface RoomKey {
  id: string;
  unreadCount: number;
  createdAt: string;
  lastMessageAt: string | null;
}

interface PageInfo {
  hasNextPage: boolean;
  hasPreviousPage: boolean;
  startCursor: string | null;
  endCursor: string | null;
}

export interface Page<Node> {
  edges: { cursor: string; node: Node }[];
  pageInfo: PageInfo;
}

export interface HistoryData<Message, Room> {
  chatroom:
    | (Room &
        RoomKey & {
          cursor: string;
          viewerMembership: { lastReadNumber: number } | null;
          messages: Page<Message & MessageKey> | null;
        })
    | null;
}

type RoomEvent<Message> =
  | { __typename: 'MessageAdded' | 'MessageEdited' | 'MessageDeleted'; message: Message & MessageKey }
  | { __typename: 'CaughtUp' };

/** The operations of the hooks, including the application's selections. */
export interface Documents<Message, Room, User> {
  /** Identifies the selections: equal for equal fragments. */
  key: string;
  history: TypedDocument<HistoryData<Message, Room>, { chatroomId: string; last: number; before?: string }>;
  place: TypedDocument<
    { chatroom: { message: { id: string; cursor: string } | null } | null },
    { chatroomId: string; number: number }
  >;
  ids: TypedDocument<
    { chatroom: { messages: { nodes: { id: string }[]; pageInfo: PageInfo } | null } | null },
    { chatroomId: string; first?: number; after?: string; last?: number; before?: string }
  >;
  messages: TypedDocument<{ nodes: ((Message & MessageKey) | null)[] }, { ids: string[] }>;
  roomEvents: TypedDocument<{ chatroomEvents: RoomEvent<Message> | null }, { chatroomId: string; after: string }>;
  typing: TypedDocument<
    { typingChanged: { user: User & { id: string }; typing: boolean } | null },
    { chatroomId: string }
  >;
  seen: TypedDocument<{ messageSeen: object | null }, { chatroomId: string }>;
  lastSeen: TypedDocument<{ chatroom: object | null }, { chatroomId: string }>;
  readMarks: TypedDocument<ReadMarksData<User>, { chatroomId: string }>;
  readMarksChanged: TypedDocument<{ readMarksChanged: object | null }, { chatroomId: string }>;
  setTyping: TypedDocument<object, { chatroomId: string; typing: boolean }>;
  markRead: TypedDocument<object, { messageId: string }>;
  markUnread: TypedDocument<
    { markUnread: { chatroom: { viewerMembership: { lastReadNumber: number } | null } } },
    { messageId: string }
  >;
  rooms: TypedDocument<RoomsData<Room>, { first: number; after?: string }>;
  anyMessage: TypedDocument<
    { messageAdded: { chatroom: { id: string }; message: MessageKey } | null },
    { after: string }
  >;
  viewerEvents: TypedDocument<{ viewerEvents: ViewerEvent | null }, { after: string }>;
  friends: TypedDocument<{ viewer: { friends: Page<Friend<User>> } | null }>;
  presence: TypedDocument<{ presenceChanged: object | null }>;
}

export interface RoomsData<Room> {
  viewer: { cursor: string; chatrooms: Page<Room & RoomKey> } | null;
}

export interface ReadMarksData<User> {
  chatroom: {
    memberCount: number;
    viewerMembership: { id: string } | null;
    members: Page<{
      id: string;
      lastReadNumber: number;
      user: User & { id: string; viewerHasBlocked: boolean };
    }> | null;
  } | null;
}

export interface Presence {
  status: 'ONLINE' | 'OFFLINE';
  lastSeenAt: string | null;
}

export type Friend<User> = User & { id: string; presence: Presence | null };

/** An event that is passed to `onEvent` of `useRooms`. */
export type ViewerEvent =
  | { __typename: 'ChatroomAppeared'; chatroom: { id: string } }
  | { __typename: 'ChatroomVanished'; chatroomId: string; reason: string | null }
  | { __typename: 'FriendshipChanged'; userId: string; status: string }
  | { __typename: 'UnreadChanged'; unreadCount: number; chatroom: { id: string } }
  | { __typename: 'SystemNotice'; body: string; sentAt: string };

const USER = 'fragment ParleyUser on User { id username nickname }';
const MESSAGE = `fragment ParleyMessage on Message {
  kind body createdAt editedAt deletedAt seenByAll sender { id username nickname }
  reactions { emoji count viewerHasReacted }
}`;
const ROOM = `fragment ParleyRoom on Chatroom {
  kind title topic memberCount opponent { id username nickname } lastMessage { id kind body deletedAt sender { id nickname } }
}`;
const MESSAGE_KEY = 'id number cursor clientMessageId';
const ROOM_KEY = 'id unreadCount createdAt lastMessageAt';
const PAGE_INFO = 'pageInfo { hasNextPage hasPreviousPage startCursor endCursor }';

/** Returns the documents for some selections. Equal fragments get the same documents. */
export function documentsOf<Message, Room, User>(
  selections: Selections<Message, Room, User>,
): Documents<Message, Room, User> {
  const user = fragmentOf(selections.user ?? USER);
  const message = fragmentOf(selections.message ?? MESSAGE);
  const room = fragmentOf(selections.room ?? ROOM);
  const key = [message.text, room.text, user.text].join('\n');
  const documents = knownDocuments.get(key) ?? createDocuments(key, message, room, user);
  knownDocuments.set(key, documents);
  return documents as Documents<Message, Room, User>;
}

interface ParsedFragment {
  name: string;
  text: string;
  definitions: readonly DefinitionNode[];
}

function createDocuments(key: string, message: ParsedFragment, room: ParsedFragment, user: ParsedFragment) {
  const document = (text: string, ...fragments: ParsedFragment[]) => {
    const definitions = new Map<string, DefinitionNode>();
    for (const definition of [parse(text, { noLocation: true }), ...fragments].flatMap((each) => each.definitions))
      definitions.set('name' in definition ? (definition.name?.value ?? '') : '', definition);
    return { kind: Kind.DOCUMENT, definitions: [...definitions.values()] } as TypedDocument<never>;
  };
  const MESSAGE_FIELDS = `${MESSAGE_KEY} chatroom { id } ...${message.name}`;
  const ROOM_FIELDS = `${ROOM_KEY} ...${room.name}`;
  const USER_FIELDS = `id ...${user.name}`;
  return {
    key,
    history: document(
      `query ParleyHistory($chatroomId: ID!, $last: Int!, $before: String) {
        chatroom(id: $chatroomId) {
          ${ROOM_FIELDS} cursor viewerMembership { id lastReadNumber }
          messages(last: $last, before: $before) { edges { cursor node { ${MESSAGE_FIELDS} } } ${PAGE_INFO} }
        }
      }`,
      ...[message, room],
    ),
    place: document(
      'query ParleyPlace($chatroomId: ID!, $number: Int!) { chatroom(id: $chatroomId) { id message(number: $number) { id cursor } } }',
    ),
    ids: document(`query ParleyIds($chatroomId: ID!, $first: Int, $after: String, $last: Int, $before: String) {
      chatroom(id: $chatroomId) {
        id messages(first: $first, after: $after, last: $last, before: $before) { nodes { id } ${PAGE_INFO} }
      }
    }`),
    messages: document(
      `query ParleyMessages($ids: [ID!]!) { nodes(ids: $ids) { id ... on Message { ${MESSAGE_FIELDS} } } }`,
      message,
    ),
    roomEvents: document(
      `subscription ParleyRoomEvents($chatroomId: ID!, $after: String) {
        chatroomEvents(chatroomId: $chatroomId, after: $after) {
          __typename cursor
          ... on MessageAdded { message { ${MESSAGE_FIELDS} } }
          ... on MessageEdited { message { ${MESSAGE_FIELDS} } }
          ... on MessageDeleted { message { ${MESSAGE_FIELDS} } }
          ... on ReactionsChanged { message { ${MESSAGE_FIELDS} } }
          ... on MemberJoined { chatroom { id memberCount title } }
          ... on MemberUpdated { chatroom { id memberCount } }
          ... on MemberLeft { chatroom { id memberCount title } }
          ... on ChatroomUpdated { chatroom { id name topic title } }
        }
      }`,
      message,
    ),
    typing: document(
      `subscription ParleyTyping($chatroomId: ID!) { typingChanged(chatroomId: $chatroomId) { user { ${USER_FIELDS} } typing } }`,
      user,
    ),
    seen: document(
      'subscription ParleySeen($chatroomId: ID!) { messageSeen(chatroomId: $chatroomId) { message { id number seenByAll } } }',
    ),
    lastSeen: document(
      'query ParleyLastSeen($chatroomId: ID!) { chatroom(id: $chatroomId) { id lastMessage { id seenByAll } } }',
    ),
    readMarks: document(
      `query ParleyReadMarks($chatroomId: ID!) {
        chatroom(id: $chatroomId) {
          id memberCount viewerMembership { id }
          members(first: 100) {
            edges { cursor node { id role lastReadNumber user { viewerHasBlocked ${USER_FIELDS} } } } ${PAGE_INFO}
          }
        }
      }`,
      user,
    ),
    readMarksChanged: document(
      'subscription ParleyReadMarksChanged($chatroomId: ID!) { readMarksChanged(chatroomId: $chatroomId) { members { id lastReadNumber } } }',
    ),
    setTyping: document(
      'mutation ParleySetTyping($chatroomId: ID!, $typing: Boolean!) { setTyping(input: { chatroomId: $chatroomId, typing: $typing }) { ok } }',
    ),
    markRead: document(`mutation ParleyMarkRead($messageId: ID!) {
      markRead(input: { messageId: $messageId }) { chatroom { id unreadCount viewerMembership { id lastReadNumber } } }
    }`),
    markUnread: document(`mutation ParleyMarkUnread($messageId: ID!) {
      markUnread(input: { messageId: $messageId }) { chatroom { id unreadCount viewerMembership { id lastReadNumber } } }
    }`),
    rooms: document(
      `query ParleyRooms($first: Int!, $after: String) {
        viewer { id cursor chatrooms(first: $first, after: $after) { edges { cursor node { ${ROOM_FIELDS} } } ${PAGE_INFO} } }
      }`,
      room,
    ),
    anyMessage: document(
      `subscription ParleyAnyMessage($after: String) {
        messageAdded(after: $after) { cursor chatroom { ${ROOM_FIELDS} } message { id number } }
      }`,
      room,
    ),
    viewerEvents: document(
      `subscription ParleyViewerEvents($after: String) {
        viewerEvents(after: $after) {
          __typename
          ... on ChatroomAppeared { cursor chatroom { ${ROOM_FIELDS} } }
          ... on ChatroomVanished { cursor chatroomId reason }
          ... on FriendshipChanged { cursor userId status }
          ... on UnreadChanged { cursor unreadCount chatroom { ${ROOM_FIELDS} } }
          ... on SystemNotice { cursor body sentAt }
        }
      }`,
      room,
    ),
    friends: document(
      `query ParleyFriends {
        viewer { id friends(first: 100) { edges { cursor node { ${USER_FIELDS} presence { status lastSeenAt } } } ${PAGE_INFO} } }
      }`,
      user,
    ),
    presence: document(
      'subscription ParleyPresence { presenceChanged { user { id presence { status lastSeenAt } } } }',
    ),
  } as unknown as Documents<unknown, unknown, unknown>;
}

function fragmentOf(fragment: Fragment<unknown> | string): ParsedFragment {
  const known = knownFragments.get(fragment);
  if (known) return known;
  const { definitions } = typeof fragment === 'object' && 'kind' in fragment ? fragment : parse(fragment.toString());
  const [first] = definitions;
  if (first?.kind !== Kind.FRAGMENT_DEFINITION)
    throw new TypeError('This selection is no fragment. Pass one, such as fragment Row on Message { body }.');
  const parsed = { name: first.name.value, text: definitions.map(print).join('\n'), definitions };
  knownFragments.set(fragment, parsed);
  return parsed;
}

// Caches, because parsing at each render of each hook would be slow. They stay small: an application has few fragments.
const knownFragments = new Map<unknown, ParsedFragment>();
const knownDocuments = new Map<string, Documents<unknown, unknown, unknown>>();
