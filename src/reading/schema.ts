import { builder, connectionArgs } from '../builder.ts';
import type { Message as MessageRow } from '../database/generated/client.ts';
import { requireRoomOf, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { Chatroom, ChatroomMember } from '../chatrooms/schema.ts';
import { keyOf } from '../ids.ts';
import { pageSizeOf } from '../limits/complexity.ts';
import { Message } from '../messages/schema.ts';
import { UserConnection, Viewer, viewerField } from '../users/schema.ts';
import {
  countAllUnread,
  countUnread,
  followSeen,
  isSeenByAll,
  listSeenBy,
  markRead,
  markRoomsRead,
  markUnread,
} from './reading.ts';
import { followReadMarks, type ReadMarks } from './readMarks.ts';

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

/** `seenBy` reads the marks of the whole room. Measured in a room of 10,000 members: as dear as 20 other fields. */
const SEEN_BY_COST = 20;

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
    complexity: (args, _context, field) => ({ field: SEEN_BY_COST, multiplier: pageSizeOf(args, field) ?? 1 }),
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

const MarkRoomsReadInput = builder.inputType('MarkRoomsReadInput', {
  description: 'How far the viewer has read in several rooms.',
  fields: (t) => ({
    messageIds: t.idList({
      required: true,
      description: '1 to 100 messages: everything in the room of each up to it. All or none.',
    }),
  }),
});

const MarkRoomsReadPayload = builder.objectRef<{ chatrooms: VisibleChatroom[] }>('MarkRoomsReadPayload').implement({
  description: 'The rooms, and the viewer with their unread counts.',
  fields: (t) => ({
    chatrooms: t.expose('chatrooms', { type: [Chatroom], description: 'The rooms of the messages, each once.' }),
    viewer: viewerField(t),
  }),
});

const MarkUnreadInput = builder.inputType('MarkUnreadInput', {
  description: 'Where the unread messages begin.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'The first unread message of its room.' }),
  }),
});

const MarkUnreadPayload = builder.objectRef<{ chatroom: VisibleChatroom }>('MarkUnreadPayload').implement({
  description: 'The room, and the viewer with their unread counts.',
  fields: (t) => ({
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The room.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => ({
  markRoomsRead: t.field({
    type: MarkRoomsReadPayload,
    nullable: true,
    description:
      'Marks several rooms as read, each up to a message, as markRead does. All or none: fails with `NOT_FOUND` if one of the messages is not found, and with `BAD_USER_INPUT` for no messages or more than 100.',
    args: { input: t.arg({ type: MarkRoomsReadInput, required: true, description: 'The messages.' }) },
    resolve: async (_, { input }, context) => ({
      chatrooms: await markRoomsRead(
        context,
        input.messageIds.map((id) => keyOf('Message', id)),
      ),
    }),
  }),
  markUnread: t.field({
    type: MarkUnreadPayload,
    nullable: true,
    description:
      'Marks a message and those after it as unread, for the viewer’s own counts alone: `seenBy`, `seenByAll` and what others see of the viewer’s read mark stay as they are. Does nothing if the message is unread. Ends when the viewer reads on or sends. Fails with `NOT_FOUND`.',
    args: { input: t.arg({ type: MarkUnreadInput, required: true, description: 'Where the unread messages begin.' }) },
    resolve: async (_, { input }, context) => ({
      chatroom: await markUnread(context, keyOf('Message', input.messageId)),
    }),
  }),
}));

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

const ReadMarksChanged = builder.objectRef<ReadMarks>('ReadMarksChanged').implement({
  description: 'Members have read on in a room.',
  fields: (t) => ({
    chatroom: t.field({
      type: Chatroom,
      description: 'The room.',
      resolve: (marks, _args, context) => requireRoomOf(context, marks.chatroomId),
    }),
    members: t.expose('members', {
      type: [ChatroomMember],
      description: 'The members, each once, with the `lastReadNumber` that they have now. Nobody across a block.',
    }),
  }),
});

builder.subscriptionField('readMarksChanged', (t) =>
  t.field({
    type: ReadMarksChanged,
    nullable: true,
    description:
      'Read marks of a room’s members, at most ten events a second: with `Chatroom.members` they tell how many have read a message. The viewer’s own is among them. Rooms of more than 100 members send none. A hint, of which `ChatroomMember.lastReadNumber` is the truth. Fails with `NOT_FOUND`, and ends with it when the viewer loses the room.',
    args: { chatroomId: t.arg.id({ required: true, description: 'The room.' }) },
    subscribe: (_, { chatroomId }, context) => followReadMarks(context, keyOf('Chatroom', chatroomId)),
    resolve: (marks) => marks,
  }),
);
