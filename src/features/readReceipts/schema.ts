import { builder, connectionArgs } from '../../graphql/builder.ts';
import type { Message as MessageRow } from '../../platform/database/generated/client.ts';
import { requireEventChatroom, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { Chatroom, ChatroomMember } from '../chatrooms/schema.ts';
import { keyOf } from '../../core/globalIds.ts';
import { personal } from '../../graphql/personalFields.ts';
import { pageSizeOf } from '../../graphql/plugins/complexity.ts';
import { Message } from '../messages/schema.ts';
import { UserConnection, Viewer, viewerField } from '../users/schema.ts';
import { followSeen, isSeenByAll, listSeenBy, markRead, markRoomsRead, markUnread } from './readReceipts.ts';
import { followReadMarks, type ReadMarks } from './readMarks.ts';
import { countAllUnread, countUnread } from './unreadCounts.ts';

builder.objectField(Chatroom, 'unreadCount', (t) =>
  t.int({
    description:
      'Number of messages that the viewer has not read, counted up to 1,000. Does not count the viewer’s own messages or deleted messages. In GROUP and OPEN chatrooms, does not count messages of users whom the viewer has blocked. Counts a SYSTEM message only if a service sent it with `countsAsUnread`. 0 if the viewer is not a member.',
    resolve: (chatroom, _args, context, info) => personal(context, info, (own) => countUnread(own, chatroom)),
  }),
);

builder.objectField(Viewer, 'unreadCount', (t) =>
  t.int({
    description:
      'Number of unread messages in all chatrooms of the viewer, counted up to 1,000. `Chatroom.unreadCount` describes which messages count.',
    resolve: (_, _args, context) => countAllUnread(context),
  }),
);

/**
 * Complexity of `seenBy`. Reading the marks of a room of 10,000 members was measured to cost as much as 20 other
 * fields.
 */
const SEEN_BY_COST = 20;

builder.objectFields(Message, (t) => ({
  seenByAll: t.boolean({
    description:
      'Whether every member except the sender has read the message. Ignores users whom the viewer has blocked, and users who have blocked the viewer. False if no member is left to consider.',
    resolve: (message, _args, context) => isSeenByAll(context, message),
  }),
  seenBy: t.field({
    type: UserConnection,
    description:
      'Members who have read the message, sorted by username. Leaves out the sender, users whom the viewer has blocked, and users who have blocked the viewer.',
    args: connectionArgs(t.arg),
    complexity: (args, _context, field) => ({ field: SEEN_BY_COST, multiplier: pageSizeOf(args, field) ?? 1 }),
    resolve: (message, args, context) => listSeenBy(context, message, args),
  }),
}));

const MarkReadInput = builder.inputType('MarkReadInput', {
  description: 'The last message that the viewer has read in a chatroom.',
  fields: (t) => ({
    messageId: t.id({
      required: true,
      description: 'Id of the last message read. All earlier messages of the chatroom become read too.',
    }),
  }),
});

const MarkReadPayload = builder.objectRef<{ chatroom: VisibleChatroom }>('MarkReadPayload').implement({
  description: 'The chatroom and the viewer, with their new unread counts.',
  fields: (t) => ({
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The chatroom, with its new `unreadCount`.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationField('markRead', (t) =>
  t.field({
    type: MarkReadPayload,
    nullable: true,
    description:
      'Marks a message and all earlier messages of its chatroom as read. Later messages that are already read stay read. Fails with `NOT_FOUND` if the viewer may not read the message.',
    args: { input: t.arg({ type: MarkReadInput, required: true, description: 'The last message read.' }) },
    resolve: async (_, { input }, context) => ({
      chatroom: await markRead(context, keyOf('Message', input.messageId)),
    }),
  }),
);

const MarkRoomsReadInput = builder.inputType('MarkRoomsReadInput', {
  description: 'The last message that the viewer has read in each of several chatrooms.',
  fields: (t) => ({
    messageIds: t.idList({
      required: true,
      description:
        'Ids of 1 to 100 messages. Each message becomes read, together with all earlier messages of its chatroom.',
    }),
  }),
});

const MarkRoomsReadPayload = builder.objectRef<{ chatrooms: VisibleChatroom[] }>('MarkRoomsReadPayload').implement({
  description: 'The chatrooms and the viewer, with their new unread counts.',
  fields: (t) => ({
    chatrooms: t.expose('chatrooms', {
      type: [Chatroom],
      description: 'The chatrooms of the messages, each once, with its new `unreadCount`.',
    }),
    viewer: viewerField(t),
  }),
});

const MarkUnreadInput = builder.inputType('MarkUnreadInput', {
  description: 'Input of `markUnread`.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'Id of the first message to mark as unread.' }),
  }),
});

const MarkUnreadPayload = builder.objectRef<{ chatroom: VisibleChatroom }>('MarkUnreadPayload').implement({
  description: 'The chatroom and the viewer, with their new unread counts.',
  fields: (t) => ({
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The chatroom, with its new `unreadCount`.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => ({
  markRoomsRead: t.field({
    type: MarkRoomsReadPayload,
    nullable: true,
    description:
      'Marks several chatrooms as read, each up to a given message. Works like `markRead`, but marks either all chatrooms or none. Fails with `NOT_FOUND` if the viewer may not read one of the messages, and with `BAD_USER_INPUT` for an empty list or more than 100 ids.',
    args: { input: t.arg({ type: MarkRoomsReadInput, required: true, description: 'The last messages read.' }) },
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
      'Marks a message and all later messages of its chatroom as unread. Raises the viewer’s unread counts. Other members do not see the change, and `seenBy` and `seenByAll` stay the same. Does nothing if the message is already unread. The messages become read again with `markRead`, or when the viewer sends a message. Fails with `NOT_FOUND` if the viewer may not read the message.',
    args: {
      input: t.arg({ type: MarkUnreadInput, required: true, description: 'The first message to mark as unread.' }),
    },
    resolve: async (_, { input }, context) => ({
      chatroom: await markUnread(context, keyOf('Message', input.messageId)),
    }),
  }),
}));

const MessageSeen = builder.objectRef<{ message: MessageRow }>('MessageSeen').implement({
  description: 'Every other member of a chatroom has read the viewer’s messages up to and including `message`.',
  fields: (t) => ({
    message: t.expose('message', {
      type: Message,
      description: 'The latest of the viewer’s messages that every other member has read.',
    }),
  }),
});

builder.subscriptionField('messageSeen', (t) =>
  t.field({
    type: MessageSeen,
    nullable: true,
    description:
      'Sends an event when every other member of a chatroom has read further messages of the viewer. Events can be lost; `Message.seenByAll` returns the current state. Fails with `NOT_FOUND` if the viewer is not a member. A stream of one chatroom ends with `NOT_FOUND` when the viewer loses access to the chatroom.',
    args: {
      chatroomId: t.arg.id({
        description: 'Id of the chatroom. By default, the stream covers all chatrooms of the viewer.',
      }),
    },
    subscribe: (_, { chatroomId }, context) =>
      followSeen(context, chatroomId == null ? undefined : keyOf('Chatroom', chatroomId)),
    resolve: (message) => ({ message }),
  }),
);

const ReadMarksChanged = builder.objectRef<ReadMarks>('ReadMarksChanged').implement({
  description: 'Members of a chatroom have read further messages.',
  fields: (t) => ({
    chatroom: t.field({
      type: Chatroom,
      description: 'Chatroom of the members.',
      resolve: (marks, _args, context) => requireEventChatroom(context, marks.chatroomId),
    }),
    members: t.expose('members', {
      type: [ChatroomMember],
      description:
        'Members who have read further messages, each once, with the current `lastReadNumber`. Leaves out users whom the viewer has blocked, and users who have blocked the viewer.',
    }),
  }),
});

builder.subscriptionField('readMarksChanged', (t) =>
  t.field({
    type: ReadMarksChanged,
    nullable: true,
    description:
      'Sends an event when members of a chatroom, including the viewer, have read further messages. Sends at most ten events per second, and none in chatrooms of more than 100 members. Clients can apply the events to `Chatroom.members` to show who has read a message. Events can be lost; `ChatroomMember.lastReadNumber` returns the current state. Fails with `NOT_FOUND` if the viewer is not a member, and ends with `NOT_FOUND` when the viewer loses access to the chatroom.',
    args: { chatroomId: t.arg.id({ required: true, description: 'Id of the chatroom.' }) },
    subscribe: (_, { chatroomId }, context) => followReadMarks(context, keyOf('Chatroom', chatroomId)),
    resolve: (marks) => marks,
  }),
);
