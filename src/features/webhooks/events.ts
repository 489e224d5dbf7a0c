import type { RoomEvent } from '../../delivery/roomLog.ts';

/** Kinds of events that a webhook can have, with their meanings. */
export const webhookEvents = {
  MESSAGE_ADDED: 'A message was sent.',
  MESSAGE_EDITED: 'The text of a message was edited.',
  MESSAGE_DELETED: 'A message was deleted.',
  REACTIONS_CHANGED: 'A reaction was added to a message, or removed from it.',
  ATTACHMENTS_CHANGED: 'The processing of a file of a message has ended.',
  LINK_PREVIEWS_CHANGED: 'A link preview of a message was found or removed.',
  MEMBER_JOINED: 'A user became a member of a chatroom.',
  MEMBER_UPDATED: 'The role of a member changed.',
  MEMBER_LEFT: 'A member left a chatroom, or was removed from it.',
  CHATROOM_UPDATED: 'The name, topic, avatar or owner of a chatroom changed.',
} as const satisfies Record<RoomEvent['kind'], string>;

export type WebhookEvent = keyof typeof webhookEvents;

/** Body of a webhook without a document of its own. */
export const DEFAULT_DOCUMENT = `subscription Webhook($chatroomId: ID!) {
  chatroomEvents(chatroomId: $chatroomId) {
    __typename
    seq
    cursor
    chatroom { id externalId kind name }
    ... on MessageAdded { message { ...Message } }
    ... on MessageEdited { message { ...Message } }
    ... on MessageDeleted { message { ...Message } actor { ...User } }
    ... on ReactionsChanged { message { ...Message reactions { emoji count } } }
    ... on AttachmentsChanged { message { ...Message } }
    ... on LinkPreviewsChanged { message { ...Message } }
    ... on MemberJoined { user { ...User } }
    ... on MemberUpdated { user { ...User } }
    ... on MemberLeft { userId user { ...User } }
    ... on ChatroomUpdated { actor { ...User } }
  }
}
fragment Message on Message {
  id
  number
  kind
  body
  systemEvent
  clientMessageId
  createdAt
  editedAt
  deletedAt
  sender { ...User }
  subject { ...User }
  replyTo { id }
  attachments { id fileName mediaType byteSize state }
}
fragment User on User { id externalId username nickname }
`;

/** Subscription fields that a document may have. */
export const ROOTS = ['chatroomEvents', 'messageAdded'] as const;
