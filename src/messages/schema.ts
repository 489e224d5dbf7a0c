import { builder, connectionArgs, defineConnection } from '../builder.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { chatroomById, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import type { Context } from '../context.ts';
import type { Message as MessageRow } from '../database/generated/client.ts';
import { badInput, notFound } from '../errors.ts';
import { keyOf } from '../ids.ts';
import { User } from '../users/schema.ts';
import { userById } from '../users/users.ts';
import {
  followMessages,
  listMessages,
  messageByKey,
  messageCursor,
  messageKey,
  type MessageAdded as MessageAddedEvent,
  sendMessage,
} from './messages.ts';

const MessageKind = builder.enumType('MessageKind', {
  description: 'Who speaks in a message.',
  values: {
    USER: { description: 'A user.' },
    SYSTEM: { description: 'The room itself: somebody joined, left, renamed it; or another service.' },
  } as const,
});

const Message = builder.objectRef<MessageRow>('Message');
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
      resolve: (message, _args, context) => requireChatroom(context, message.chatroomId),
    }),
    number: t.exposeInt('number', { description: '1, 2, 3 … without holes, in the one order that every member sees.' }),
    kind: t.expose('kind', { type: MessageKind, description: 'Who speaks.' }),
    sender: t.field({
      type: User,
      nullable: true,
      description: 'Who sent it. Null for a SYSTEM message, and where the account is gone.',
      resolve: (message, _args, context) => (message.senderId === null ? null : userById(context, message.senderId)),
    }),
    body: t.exposeString('body', {
      nullable: true,
      description: 'The text, exactly as it was sent. Null once deleted.',
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
      description: 'What the sender’s client called it.',
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
const { Edge: MessageEdge, List: MessageConnection } = defineConnection(Message, 'Message');

async function requireChatroom(context: Context, chatroomId: string): Promise<VisibleChatroom> {
  const chatroom = await chatroomById(context, chatroomId);
  if (!chatroom) throw notFound('chatroom');
  return chatroom;
}

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
    resolve: (chatroom, _args, context) =>
      chatroom.lastNumber === 0 ? null : messageByKey(context, messageKey(chatroom.id, chatroom.lastNumber)),
  }),
}));

const SendMessageInput = builder.inputType('SendMessageInput', {
  description: 'A message to send.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Where to.' }),
    body: t.string({ required: true, description: '1 to 10,000 characters after trimming; stored exactly as sent.' }),
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

const ChatroomEvent = builder.interfaceRef<MessageAddedEvent>('ChatroomEvent').implement({
  description: 'Something that happened in a room. Clients ignore the types that they do not know.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'A room cursor: what comes after this event.' }),
    chatroom: t.field({
      type: Chatroom,
      description: 'Where it happened.',
      resolve: (event, _args, context) => requireChatroom(context, event.chatroomId),
    }),
  }),
});

const MessageAdded = builder.objectRef<MessageAddedEvent>('MessageAdded').implement({
  description: 'A message was sent.',
  interfaces: [ChatroomEvent],
  fields: (t) => ({
    message: t.field({
      type: Message,
      description: 'The message, as it is now.',
      resolve: async (event, _args, context) => {
        const message = await messageByKey(context, messageKey(event.chatroomId, event.number));
        if (!message) throw notFound('chatroom');
        return message;
      },
    }),
  }),
});

builder.subscriptionField('messageAdded', (t) =>
  t.field({
    type: MessageAdded,
    nullable: true,
    description:
      'The messages of a room. With `after`, first those that were missed: everything after the cursor, each once, in order, then what comes. Fails with `NOT_FOUND`, `BAD_USER_INPUT`, or `RESYNC_REQUIRED` where the cursor cannot be honoured any more.',
    args: {
      chatroomId: t.arg.id({ description: 'The room. This version needs one.' }),
      after: t.arg.string({ description: 'A room cursor.' }),
    },
    subscribe: (_, { chatroomId, after }, context) => {
      if (chatroomId == null)
        throw badInput('chatroomId', 'Name the chatroom. This version has no stream over all of them.');
      return followMessages(context, keyOf('Chatroom', chatroomId), after);
    },
    resolve: (event) => event,
  }),
);
