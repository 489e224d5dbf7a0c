import { builder, connectionArgs } from '../builder.ts';
import type { Message as MessageRow } from '../database/generated/client.ts';
import type { VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { keyOf } from '../ids.ts';
import { Message } from '../messages/schema.ts';
import { UserConnection, Viewer, viewerField } from '../users/schema.ts';
import { countAllUnread, countUnread, followSeen, isSeenByAll, listSeenBy, markRead } from './reading.ts';

builder.objectField(Chatroom, 'unreadCount', (t) =>
  t.int({
    description:
      'How many messages the viewer has not read: exact up to 1,000, and stays there beyond. Their own messages do not count, nor SYSTEM messages except notices sent with `countsAsUnread`, nor deleted ones or those of people whom they have blocked.',
    resolve: (chatroom, _args, context) => countUnread(context, chatroom.id),
  }),
);

builder.objectField(Viewer, 'unreadCount', (t) =>
  t.int({
    description: 'How many messages of all rooms the viewer has not read: exact up to 1,000, and stays there beyond.',
    resolve: (_, _args, context) => countAllUnread(context),
  }),
);

builder.objectFields(Message, (t) => ({
  seenByAll: t.boolean({
    description:
      'True once every other member has read it; false where nobody else counts. Nobody across a block does.',
    resolve: (message, _args, context) => isSeenByAll(context, message),
  }),
  seenBy: t.field({
    type: UserConnection,
    description: 'Who has read it, by name; neither its sender nor anybody across a block.',
    args: connectionArgs(t.arg),
    resolve: (message, args, context) => listSeenBy(context, message, args),
  }),
}));

const MarkReadInput = builder.inputType('MarkReadInput', {
  description: 'How far the viewer has read.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'Everything in its room up to this message.' }),
  }),
});

const MarkReadPayload = builder.objectRef<{ chatroom: VisibleChatroom }>('MarkReadPayload').implement({
  description: 'The room, and the viewer with their unread counts.',
  fields: (t) => ({
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The room.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationField('markRead', (t) =>
  t.field({
    type: MarkReadPayload,
    nullable: true,
    description: 'Marks a room as read up to a message; the mark only moves forward. Fails with `NOT_FOUND`.',
    args: { input: t.arg({ type: MarkReadInput, required: true, description: 'How far.' }) },
    resolve: async (_, { input }, context) => ({
      chatroom: await markRead(context, keyOf('Message', input.messageId)),
    }),
  }),
);

const MessageSeen = builder.objectRef<{ message: MessageRow }>('MessageSeen').implement({
  description: "Every other member has now read this sender's messages up to this one.",
  fields: (t) => ({ message: t.expose('message', { type: Message, description: 'The last of them.' }) }),
});

builder.subscriptionField('messageSeen', (t) =>
  t.field({
    type: MessageSeen,
    nullable: true,
    description:
      'When all others have read what the viewer sent: a hint, of which `Message.seenByAll` is the truth. Fails with `NOT_FOUND`, and ends with it when the viewer loses the room.',
    args: { chatroomId: t.arg.id({ description: 'The room; all of them if left out.' }) },
    subscribe: (_, { chatroomId }, context) =>
      followSeen(context, chatroomId == null ? undefined : keyOf('Chatroom', chatroomId)),
    resolve: (message) => ({ message }),
  }),
);
