import { type DefinitionNode, type DocumentNode, type FieldNode, Kind, parse, print, visit } from 'graphql';
import type { TypedDocument } from './cache.ts';
import type * as Default from './types.ts';

/** A fragment, as a parsed document or as text. Fragments from codegen have a type for the data. */
export type Fragment<Data> = (DocumentNode | { toString(): string }) & { __apiType?: (variables: any) => Data };

/** Fragments with the fields that an application needs. Without a fragment, the hooks select default fields. */
export interface Selections<Message = Default.Message, Room = Default.Room, User = Default.User> {
  /** A fragment on `Message`. */
  message?: Fragment<Message>;
  /** A fragment on `Chatroom`. */
  room?: Fragment<Room>;
  /** A fragment on `User`, for typing users, friends and read marks. */
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

export interface Connection<Node> {
  nodes: readonly Node[];
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null };
}

/** Query of objects by their ids. */
export type NodesDocument<Node> = TypedDocument<{ nodes: readonly (Node | null)[] }, { ids: string[] }>;

/** A room as the hooks read it from the cache. */
export type CachedRoom<Room> = Room & RoomKey & { viewerMembership: { lastReadNumber: number } | null };

export type HistoryRoom<Message, Room> = CachedRoom<Room> & {
  messages: Connection<Message & MessageKey> | null;
};

export type RoomEvent<Message, Room> =
  | { __typename: 'RoomSnapshot'; reason: 'REQUESTED' | 'RESYNC'; chatroom: HistoryRoom<Message, Room> }
  | {
      __typename:
        | 'MessageAdded'
        | 'MessageEdited'
        | 'MessageDeleted'
        | 'ReactionsChanged'
        | 'AttachmentsChanged'
        | 'LinkPreviewsChanged';
      message: Message & MessageKey;
    }
  | { __typename: 'MemberLeft'; user: { id: string } | null }
  | { __typename: 'CaughtUp' };

/** The operations of the hooks, including the application's selections. */
export interface Documents<Message, Room, User> {
  /** Identifies the selections. Equal fragments have equal keys. */
  key: string;
  /** Query of a room with its newest messages. */
  history: TypedDocument<{ chatroom: HistoryRoom<Message, Room> | null }, { chatroomId: string; last: number }>;
  room: TypedDocument<{ chatroom: CachedRoom<Room> | null }, { chatroomId: string }>;
  page: TypedDocument<
    { chatroom: { messages: Connection<Message & MessageKey> | null } | null },
    { chatroomId: string; first?: number; after?: string; last?: number; before?: string }
  >;
  message: TypedDocument<
    { chatroom: { message: (Message & MessageKey) | null } | null },
    { chatroomId: string; number: number }
  >;
  messages: NodesDocument<Message & MessageKey>;
  /** Events of a room. The first one is a snapshot of the room with its newest messages. */
  roomEvents: TypedDocument<{ chatroomEvents: RoomEvent<Message, Room> | null }, { chatroomId: string; last: number }>;
  typing: TypedDocument<
    { typingChanged: { user: User & { id: string }; typing: boolean } | null },
    { chatroomId: string }
  >;
  seen: TypedDocument<{ messageSeen: object | null }, { chatroomId: string }>;
  seenMessages: NodesDocument<{ id: string }>;
  readMarks: TypedDocument<
    { viewer: { cursor: string } | null; chatroom: ReadMarksRoom<User> | null },
    { chatroomId: string }
  >;
  memberCount: TypedDocument<{ chatroom: { memberCount: number } | null }, { chatroomId: string }>;
  members: NodesDocument<MarkedMember<User>>;
  readMarksChanged: TypedDocument<{ readMarksChanged: object | null }, { chatroomId: string }>;
  setTyping: TypedDocument<object, { chatroomId: string; typing: boolean }>;
  markRead: TypedDocument<object, { messageId: string }>;
  markUnread: TypedDocument<
    { markUnread: { chatroom: { viewerMembership: { lastReadNumber: number } | null } } },
    { messageId: string }
  >;
  rooms: TypedDocument<
    { viewer: { cursor: string; chatrooms: Connection<Room & RoomKey> } | null },
    { first: number; after?: string }
  >;
  roomNodes: NodesDocument<Room & RoomKey>;
  anyMessage: TypedDocument<
    { messageAdded: { chatroom: { id: string }; message: { id: string; number: number } } | null },
    { after: string }
  >;
  viewerEvents: TypedDocument<{ viewerEvents: ViewerEvent | null }, { after?: string }>;
  friends: TypedDocument<{ viewer: { cursor: string; friends: Connection<Friend<User>> } | null }>;
  friendNodes: NodesDocument<Friend<User>>;
  presence: TypedDocument<{ presenceChanged: object | null }>;
}

export interface MarkedMember<User> {
  id: string;
  lastReadNumber: number;
  user: User & { id: string; viewerHasBlocked: boolean };
}

export interface ReadMarksRoom<User> {
  memberCount: number;
  viewerMembership: { id: string } | null;
  members: Connection<MarkedMember<User>> | null;
}

export interface Presence {
  status: 'ONLINE' | 'OFFLINE';
  lastSeenAt: string | null;
}

export type Friend<User> = User & { id: string; presence: Presence | null };

/** An event that is passed to `onEvent` of `useRooms`. */
export type ViewerEvent = {
  /** All-rooms cursor: `viewerEvents` can resume after this event. */
  cursor?: string;
} & (
  | { __typename: 'ViewerSnapshot' }
  | { __typename: 'ChatroomAppeared'; chatroom: { id: string } }
  | { __typename: 'ChatroomVanished'; chatroomId: string; reason: string | null }
  | { __typename: 'FriendshipChanged'; userId: string; status: string }
  | { __typename: 'BlockChanged'; userId: string; blocked: boolean }
  | { __typename: 'UnreadChanged'; unreadCount: number; chatroom: { id: string } }
  | { __typename: 'SystemNotice'; body: string; sentAt: string }
);

const USER = 'fragment ParleyUser on User { id username nickname }';
const MESSAGE = `fragment ParleyMessage on Message {
  kind body createdAt editedAt deletedAt seenByAll sender { id username nickname }
  reactions { emoji count viewerHasReacted }
  attachments { id fileName mediaType byteSize state rejection url image { url width height thumbHash } durationMs }
}`;
const ROOM = `fragment ParleyRoom on Chatroom {
  kind title topic memberCount opponent { id username nickname } lastMessage { id kind body deletedAt sender { id nickname } }
}`;
const MESSAGE_KEY = 'id number cursor clientMessageId';
const ROOM_KEY = 'id unreadCount createdAt lastMessageAt';
const PAGE_INFO = 'pageInfo { hasNextPage hasPreviousPage startCursor endCursor }';

/** Returns the operations with these selections. Returns the same object for equal fragments. */
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
    return withTypenames({ kind: Kind.DOCUMENT, definitions: [...definitions.values()] }) as TypedDocument<never>;
  };
  const MESSAGE_FIELDS = `${MESSAGE_KEY} ...${message.name}`;
  const EVENT_FIELDS = `chatroom { id } ${MESSAGE_FIELDS}`;
  const ROOM_FIELDS = `${ROOM_KEY} ...${room.name}`;
  const CACHED_ROOM_FIELDS = `${ROOM_FIELDS} viewerMembership { id lastReadNumber }`;
  const HISTORY_FIELDS = `${CACHED_ROOM_FIELDS} messages(last: $last) { nodes { ${MESSAGE_FIELDS} } ${PAGE_INFO} }`;
  const USER_FIELDS = `id ...${user.name}`;
  const MEMBER_FIELDS = `id role lastReadNumber user { viewerHasBlocked ${USER_FIELDS} }`;
  const FRIEND_FIELDS = `${USER_FIELDS} presence { status lastSeenAt }`;
  const nodes = (name: string, type: string, fields: string, fragment: ParsedFragment) =>
    document(`query ${name}($ids: [ID!]!) { nodes(ids: $ids) { id ... on ${type} { ${fields} } } }`, fragment);
  return {
    key,
    history: document(
      `query ParleyHistory($chatroomId: ID!, $last: Int!) {
        chatroom(id: $chatroomId) { ${HISTORY_FIELDS} }
      }`,
      ...[message, room],
    ),
    room: document(
      `query ParleyCachedRoom($chatroomId: ID!) { chatroom(id: $chatroomId) { ${CACHED_ROOM_FIELDS} } }`,
      room,
    ),
    page: document(
      `query ParleyPage($chatroomId: ID!, $first: Int, $after: String, $last: Int, $before: String) {
        chatroom(id: $chatroomId) {
          id messages(first: $first, after: $after, last: $last, before: $before) { nodes { ${MESSAGE_FIELDS} } ${PAGE_INFO} }
        }
      }`,
      message,
    ),
    message: document(
      `query ParleyOneMessage($chatroomId: ID!, $number: Int!) {
        chatroom(id: $chatroomId) { id message(number: $number) { ${MESSAGE_FIELDS} } }
      }`,
      message,
    ),
    messages: nodes('ParleyMessages', 'Message', MESSAGE_FIELDS, message),
    roomEvents: document(
      `subscription ParleyRoomEvents($chatroomId: ID!, $last: Int!, $after: String) {
        chatroomEvents(chatroomId: $chatroomId, after: $after, snapshot: true) {
          __typename cursor
          ... on RoomSnapshot { reason chatroom { ${HISTORY_FIELDS} } }
          ... on MessageAdded { message { ${EVENT_FIELDS} } }
          ... on MessageEdited { message { ${EVENT_FIELDS} } }
          ... on MessageDeleted { message { ${EVENT_FIELDS} } }
          ... on ReactionsChanged { message { ${EVENT_FIELDS} } }
          ... on AttachmentsChanged { message { ${EVENT_FIELDS} } }
          ... on LinkPreviewsChanged { message { ${EVENT_FIELDS} } }
          ... on MemberJoined { chatroom { id memberCount title } }
          ... on MemberUpdated { chatroom { id memberCount } member { id role } }
          ... on MemberLeft { user { id } chatroom { id memberCount title } }
          ... on ChatroomUpdated { chatroom { id name topic title avatar { url width height thumbHash } } }
        }
      }`,
      ...[message, room],
    ),
    typing: document(
      `subscription ParleyTyping($chatroomId: ID!) { typingChanged(chatroomId: $chatroomId) { user { ${USER_FIELDS} } typing } }`,
      user,
    ),
    seen: document(
      'subscription ParleySeen($chatroomId: ID!) { messageSeen(chatroomId: $chatroomId) { message { id number seenByAll } } }',
    ),
    seenMessages: document(
      'query ParleySeenMessages($ids: [ID!]!) { nodes(ids: $ids) { id ... on Message { seenByAll } } }',
    ),
    readMarks: document(
      `query ParleyReadMarks($chatroomId: ID!) {
        viewer { id cursor }
        chatroom(id: $chatroomId) {
          id memberCount viewerMembership { id } members(first: 100) { nodes { ${MEMBER_FIELDS} } ${PAGE_INFO} }
        }
      }`,
      user,
    ),
    memberCount: document('query ParleyMemberCount($chatroomId: ID!) { chatroom(id: $chatroomId) { id memberCount } }'),
    members: nodes('ParleyMembers', 'ChatroomMember', MEMBER_FIELDS, user),
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
        viewer { id cursor chatrooms(first: $first, after: $after) { nodes { ${ROOM_FIELDS} } ${PAGE_INFO} } }
      }`,
      room,
    ),
    roomNodes: nodes('ParleyRoomNodes', 'Chatroom', ROOM_FIELDS, room),
    // Selects nothing that depends on the viewer, so that all pages share one result. UnreadChanged follows each message
    // within a moment, with the fields of the room.
    anyMessage: document(
      `subscription ParleyAnyMessage($after: String) {
        messageAdded(after: $after) { cursor chatroom { id } message { id number } }
      }`,
    ),
    viewerEvents: document(
      `subscription ParleyViewerEvents($after: String) {
        viewerEvents(after: $after, snapshot: true) {
          __typename
          ... on ViewerSnapshot { cursor }
          ... on ChatroomAppeared { cursor chatroom { ${ROOM_FIELDS} } }
          ... on ChatroomVanished { cursor chatroomId reason }
          ... on FriendshipChanged { cursor userId status }
          ... on BlockChanged { cursor userId blocked user { id viewerHasBlocked } }
          ... on UnreadChanged { cursor unreadCount chatroom { ${ROOM_FIELDS} } }
          ... on SystemNotice { cursor body sentAt }
        }
      }`,
      room,
    ),
    friends: document(
      `query ParleyFriends { viewer { id cursor friends(first: 100) { nodes { ${FRIEND_FIELDS} } ${PAGE_INFO} } } }`,
      user,
    ),
    friendNodes: nodes('ParleyFriendNodes', 'User', FRIEND_FIELDS, user),
    presence: document(
      'subscription ParleyPresence { presenceChanged { user { id presence { status lastSeenAt } } } }',
    ),
  } as unknown as Documents<unknown, unknown, unknown>;
}

const TYPENAME: FieldNode = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: '__typename' } };

/** Adds `__typename` to all objects, because the cache needs this field in each response that the hooks write. */
function withTypenames(document: DocumentNode): DocumentNode {
  return visit(document, {
    SelectionSet(node, _key, parent) {
      const isRoot = parent && 'kind' in parent && parent.kind === Kind.OPERATION_DEFINITION;
      const isTypename = (each: (typeof node.selections)[number]) =>
        each.kind === Kind.FIELD && each.name.value === '__typename' && !each.alias;
      if (isRoot || node.selections.some(isTypename)) return undefined;
      return { ...node, selections: [TYPENAME, ...node.selections] };
    },
  });
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

// Caches of parsed fragments and documents. Otherwise each render of each hook would parse them again. The caches stay
// small, because an application has few fragments.
const knownFragments = new Map<unknown, ParsedFragment>();
const knownDocuments = new Map<string, Documents<unknown, unknown, unknown>>();
