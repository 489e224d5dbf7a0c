import { builder, connectionArgs, defineConnection } from '../builder.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { requireRoomOf } from '../chatrooms/chatrooms.ts';
import type { Message as MessageRow } from '../database/generated/client.ts';
import { keyOf } from '../ids.ts';
import { User } from '../users/schema.ts';
import { userById } from '../users/users.ts';
import { deleteMessage, editMessage } from './changes.ts';
import {
  lastMessageOf,
  listMessages,
  messageByKey,
  messageCursor,
  messageKey,
  type MessageWithSender,
  type NoticeSender,
  sendMessage,
} from './messages.ts';

const MessageKind = builder.enumType('MessageKind', {
  description: 'Who speaks in a message.',
  values: {
    USER: { description: 'A user.' },
    SYSTEM: { description: 'The room itself: somebody joined, left, renamed it; or another service.' },
  } as const,
});

const SystemEvent = builder.enumType('SystemEvent', {
  description: 'What a SYSTEM message tells; clients word it in their own language.',
  values: {
    MEMBER_JOINED: { description: 'The subject became a member.' },
    MEMBER_LEFT: { description: 'The subject is no member any more.' },
    RENAMED: { description: 'The subject gave the room another name.' },
    NOTICE: { description: 'Another service says what stands in the body.' },
  } as const,
});

/** Who sent a notice, in a message or outside of rooms. */
export const NoticeAuthor = builder.objectRef<NoticeSender & { service: string }>('NoticeAuthor').implement({
  description: 'The service that sent a notice, and the name to show.',
  fields: (t) => ({
    service: t.exposeString('service', { description: 'Name of the service, as the operator created its token.' }),
    name: t.string({
      description: 'Name to show: the author name that the service gave, or else its own.',
      resolve: ({ service, authorName }) => authorName ?? service,
    }),
  }),
});

export function noticeAuthorOf({ service, authorName }: NoticeSender): (NoticeSender & { service: string }) | null {
  return service === null ? null : { service, authorName };
}

export const Message = builder.objectRef<MessageWithSender>('Message');
builder.node(Message, {
  description: 'A message in a chatroom, for its members.',
  id: { resolve: ({ chatroomId, number }) => messageKey(chatroomId, number) },
  loadWithoutCache: (key, context) => messageByKey(context, key),
  fields: (t) => ({
    cursor: t.string({
      description: 'A room cursor: what comes after this message. The edges of Chatroom.messages carry the same.',
      resolve: (message, _args, context) => messageCursor(context, message),
    }),
    chatroom: t.field({
      type: Chatroom,
      description: 'The room that it is in.',
      resolve: (message, _args, context) => requireRoomOf(context, message.chatroomId),
    }),
    number: t.exposeInt('number', { description: '1, 2, 3 … without holes, in the one order that every member sees.' }),
    kind: t.expose('kind', { type: MessageKind, description: 'Who speaks.' }),
    sender: t.field({
      type: User,
      nullable: true,
      description: 'Who sent it. Null for a SYSTEM message, and where the account is gone.',
      resolve: ({ senderId, sender }, _args, context) =>
        senderId === null ? null : (sender ?? userById(context, senderId)),
    }),
    body: t.exposeString('body', {
      nullable: true,
      description: 'The text, exactly as it was sent. Null once deleted.',
    }),
    systemEvent: t.expose('systemEvent', {
      type: SystemEvent,
      nullable: true,
      description: 'What a SYSTEM message tells.',
    }),
    noticeAuthor: t.field({
      type: NoticeAuthor,
      nullable: true,
      description: 'Who sent a NOTICE. Null for other messages, and for notices stored by earlier releases.',
      resolve: noticeAuthorOf,
    }),
    subject: t.field({
      type: User,
      nullable: true,
      description: 'The user whom a SYSTEM message is about.',
      resolve: (message, _args, context) => (message.subjectId === null ? null : userById(context, message.subjectId)),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was stored, by the server’s clock.' }),
    editedAt: t.expose('editedAt', { type: 'DateTime', nullable: true, description: 'When it was last edited.' }),
    deletedAt: t.expose('deletedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was deleted; its number stays.',
    }),
    clientMessageId: t.exposeString('clientMessageId', {
      nullable: true,
      description: 'What the sender’s client or the service called it.',
    }),
    replyTo: t.field({
      type: Message,
      nullable: true,
      description: 'The message of the same room that it answers.',
      resolve: ({ chatroomId, replyToNumber }, _args, context) =>
        replyToNumber === null ? null : messageByKey(context, messageKey(chatroomId, replyToNumber)),
    }),
  }),
});
export const { Edge: MessageEdge, List: MessageConnection } = defineConnection(Message, 'Message');

builder.objectFields(Chatroom, (t) => ({
  messages: t.field({
    type: MessageConnection,
    nullable: true,
    description:
      'Oldest first; page back from the end with last/before. Its cursors are room cursors. Null unless the viewer is a member.',
    args: connectionArgs(t.arg),
    resolve: (chatroom, args, context) =>
      chatroom.viewerRole === null ? null : listMessages(context, chatroom.id, args),
  }),
  message: t.field({
    type: Message,
    nullable: true,
    description: 'The message with this number, or null. Null unless the viewer is a member.',
    args: { number: t.arg.int({ required: true, description: 'Its number in this room.' }) },
    resolve: (chatroom, { number }, context) =>
      number < 1 ? null : messageByKey(context, messageKey(chatroom.id, number)),
  }),
  lastMessage: t.field({
    type: Message,
    nullable: true,
    description: 'The newest message. Null in an empty room, and unless the viewer is a member.',
    resolve: (chatroom, _args, context) => lastMessageOf(context, chatroom.id),
  }),
}));

const SendMessageInput = builder.inputType('SendMessageInput', {
  description: 'A message to send.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Where to.' }),
    body: t.string({
      required: true,
      description: '1 to 10,000 characters after trimming, at least one of them visible; stored exactly as sent.',
    }),
    clientMessageId: t.string({
      description:
        'Chosen by the client, unique per sender and room for ever: sending it again returns the first message. 1 to 100 characters.',
    }),
    replyToId: t.id({ description: 'A message of the same room that this one answers.' }),
  }),
});

const SendMessagePayload = builder
  .objectRef<{ message: MessageRow; deduplicated: boolean }>('SendMessagePayload')
  .implement({
    description: 'The message as it is stored: it was committed before this was sent.',
    fields: (t) => ({
      message: t.expose('message', { type: Message, description: 'The message.' }),
      edge: t.field({
        type: MessageEdge,
        description: 'The message as an edge of Chatroom.messages.',
        resolve: ({ message }, _args, context) => ({ cursor: messageCursor(context, message), node: message }),
      }),
      deduplicated: t.exposeBoolean('deduplicated', {
        description: 'True where clientMessageId had been sent before.',
      }),
    }),
  });

builder.mutationField('sendMessage', (t) =>
  t.field({
    type: SendMessagePayload,
    nullable: true,
    description:
      'Sends a message to a room that the viewer is a member of. Fails with `BAD_USER_INPUT`, `NOT_FOUND`, or `CONFLICT` for a clientMessageId that was sent with another body.',
    args: { input: t.arg({ type: SendMessageInput, required: true, description: 'The message.' }) },
    resolve: (_, { input }, context) =>
      sendMessage(context, {
        ...input,
        chatroomId: keyOf('Chatroom', input.chatroomId),
        replyToKey: input.replyToId == null ? undefined : keyOf('Message', input.replyToId),
      }),
  }),
);

export const MessagePayload = builder.objectRef<{ message: MessageRow }>('MessagePayload').implement({
  description: 'The message as it is now.',
  fields: (t) => ({
    message: t.expose('message', { type: Message, description: 'The message.' }),
    edge: t.field({
      type: MessageEdge,
      description: 'The message as an edge of Chatroom.messages.',
      resolve: ({ message }, _args, context) => ({ cursor: messageCursor(context, message), node: message }),
    }),
  }),
});

const EditMessageInput = builder.inputType('EditMessageInput', {
  description: 'Another text for a message.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'A message of the viewer’s.' }),
    body: t.string({
      required: true,
      description: '1 to 10,000 characters after trimming, at least one of them visible; stored exactly as sent.',
    }),
  }),
});

const DeleteMessageInput = builder.inputType('DeleteMessageInput', {
  description: 'A message to delete.',
  fields: (t) => ({ messageId: t.id({ required: true, description: 'The message.' }) }),
});

builder.mutationFields((t) => ({
  editMessage: t.field({
    type: MessagePayload,
    nullable: true,
    description:
      'Gives a message of the viewer’s another text. Fails with `BAD_USER_INPUT`, `NOT_FOUND`, `FORBIDDEN`, or `BLOCKED` in a DIRECT chatroom.',
    args: { input: t.arg({ type: EditMessageInput, required: true, description: 'The message and its new text.' }) },
    resolve: async (_, { input }, context) => ({
      message: await editMessage(context, keyOf('Message', input.messageId), input.body),
    }),
  }),
  deleteMessage: t.field({
    type: MessagePayload,
    nullable: true,
    description:
      'Deletes a message: senders their own, owners and admins everyone’s. It stays as a tombstone with its number. Fails with `NOT_FOUND` or `FORBIDDEN`.',
    args: { input: t.arg({ type: DeleteMessageInput, required: true, description: 'The message.' }) },
    resolve: async (_, { input }, context) => ({
      message: await deleteMessage(context, keyOf('Message', input.messageId)),
    }),
  }),
}));
