import type { ObjectFieldBuilder } from '@pothos/core';
import { builder, type Types } from '../../graphql/builder.ts';
import { requireEventChatroom } from '../chatrooms/chatrooms.ts';
import { AppEvent } from '../chatroomEvents/appEventSchema.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { FriendshipStatus } from '../relationships/schema.ts';
import { fromEvent, personal } from '../../graphql/personalFields.ts';
import { encodeId } from '../../core/globalIds.ts';
import { NoticeAuthor, noticeAuthorOf } from '../messages/schema.ts';
import { countAllUnread, countUnread } from '../readReceipts/unreadCounts.ts';
import { User, viewerField } from '../users/schema.ts';
import { userById } from '../users/users.ts';
import type { ViewerEvent as Event } from './viewerChanges.ts';
import { followViewer } from './viewerEvents.ts';

type EventOf<Kind extends Event['kind']> = Extract<Event, { kind: Kind }>;

function cursorField<Of extends Event>(t: ObjectFieldBuilder<Types, Of>) {
  return t.string({
    description:
      'All-rooms cursor: position of this event. Pass it to `viewerEvents` or `events` as `after` to resume after the event.',
    resolve: (event, _args, context, info) => fromEvent(context, info, event, ({ cursor }) => cursor),
  });
}

/** Fields of an event about the viewer and another user. */
function otherUserFields<Of extends Event & { userId: string }>(t: ObjectFieldBuilder<Types, Of>) {
  return {
    userId: t.id({ description: 'Id of the other user.', resolve: (event) => encodeId('User', event.userId) }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'The other user. Null if the account was deleted.',
      resolve: (event, _args, context) => userById(context, event.userId),
    }),
  };
}

const ChatroomAppeared = builder.objectRef<EventOf<'ChatroomAppeared'>>('ChatroomAppeared').implement({
  description:
    'A chatroom appeared in `Viewer.chatrooms`. The viewer joined or was added, or a message or `createChatroom` made a hidden DIRECT chatroom visible again.',
  interfaces: [AppEvent],
  fields: (t) => ({
    cursor: cursorField(t),
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The chatroom that appeared.' }),
    viewer: viewerField(t),
  }),
});

const ChatroomVanishedReason = builder.enumType('ChatroomVanishedReason', {
  description: 'Reason why a chatroom vanished from `Viewer.chatrooms`.',
  values: {
    LEFT: { description: 'The viewer left the chatroom, on this or another device.' },
    REMOVED: { description: 'The owner or an admin removed the viewer.' },
    DELETED: { description: 'The chatroom was deleted, or its last member left.' },
    HIDDEN: {
      description:
        'The viewer hid a DIRECT chatroom with `deleteChatroom`. The next message makes the chatroom appear again.',
    },
  } as const,
});

const ChatroomVanished = builder.objectRef<EventOf<'ChatroomVanished'>>('ChatroomVanished').implement({
  description: 'A chatroom vanished from `Viewer.chatrooms`.',
  interfaces: [AppEvent],
  fields: (t) => ({
    cursor: cursorField(t),
    chatroomId: t.id({
      description: 'Id of the chatroom that vanished.',
      resolve: (event) => encodeId('Chatroom', event.chatroomId),
    }),
    reason: t.expose('reason', {
      type: ChatroomVanishedReason,
      nullable: true,
      description:
        'Reason why the chatroom vanished. Null if the reason is unknown, for example for events stored by earlier releases.',
    }),
    viewer: viewerField(t),
  }),
});

const FriendshipChanged = builder.objectRef<EventOf<'FriendshipChanged'>>('FriendshipChanged').implement({
  description: 'A friendship or friend request of the viewer was created, accepted or ended.',
  interfaces: [AppEvent],
  fields: (t) => ({
    cursor: cursorField(t),
    ...otherUserFields(t),
    status: t.expose('status', {
      type: FriendshipStatus,
      nullable: true,
      description: 'Status after the change. Null if neither a friendship nor a request remains.',
    }),
    viewer: viewerField(t),
  }),
});

const BlockChanged = builder.objectRef<EventOf<'BlockChanged'>>('BlockChanged').implement({
  description:
    'The viewer blocked or unblocked a user, on this or another device. Only the viewer receives this event. Clients should reload the GROUP and OPEN chatrooms that they display, because a block changes the visible messages, the reactions and the unread counts.',
  interfaces: [AppEvent],
  fields: (t) => ({
    cursor: cursorField(t),
    ...otherUserFields(t),
    blocked: t.exposeBoolean('blocked', {
      description: 'Whether the viewer has blocked the user when the event is sent. Same as `User.viewerHasBlocked`.',
    }),
    viewer: viewerField(t),
  }),
});

const UnreadChanged = builder.objectRef<EventOf<'UnreadChanged'>>('UnreadChanged').implement({
  description:
    'The number of unread messages in a chatroom may have changed. Sent at most ten times per second for each chatroom; the last event always has the current number.',
  interfaces: [AppEvent],
  fields: (t) => ({
    cursor: cursorField(t),
    chatroom: t.field({
      type: Chatroom,
      description: 'The chatroom whose unread count may have changed.',
      resolve: (event, _args, context) => event.chatroom ?? requireEventChatroom(context, event.chatroomId),
    }),
    unreadCount: t.int({
      description: 'Number of unread messages in this chatroom, counted up to 1,000. Same as `Chatroom.unreadCount`.',
      resolve: ({ chatroomId, isShared = false }, _args, context, info) =>
        personal(context, info, (own) => countUnread(own, { id: chatroomId, isShared })),
    }),
    totalUnreadCount: t.int({
      description: 'Number of unread messages in all chatrooms, counted up to 1,000. Same as `Viewer.unreadCount`.',
      resolve: (_, _args, context, info) => personal(context, info, countAllUnread),
    }),
    viewer: viewerField(t),
  }),
});

const SystemNotice = builder.objectRef<EventOf<'SystemNotice'>>('SystemNotice').implement({
  description:
    'A notice that a service sent to the viewer with `sendSystemMessage`. The notice is not stored, so only open subscriptions receive it.',
  interfaces: [AppEvent],
  fields: (t) => ({
    cursor: cursorField(t),
    body: t.exposeString('body', { description: 'Text of the notice.' }),
    sentAt: t.expose('sentAt', { type: 'DateTime', description: 'Time at which the server received the notice.' }),
    author: t.field({
      type: NoticeAuthor,
      nullable: true,
      description:
        'Service that sent the notice. Null if the service sent the notice to a node that still runs an earlier release.',
      resolve: noticeAuthorOf,
    }),
    clientMessageId: t.exposeString('clientMessageId', {
      nullable: true,
      description:
        'Id that the service gave the notice. A retry is delivered again with the same id, so clients can discard the repeated notice. Null if the service gave no id.',
    }),
  }),
});

const ViewerSnapshot = builder.objectRef<EventOf<'ViewerSnapshot'>>('ViewerSnapshot').implement({
  description:
    'The viewer’s data in one state of the database, which all selected fields show. Every change after this state follows as an event, and a few earlier changes may follow again. Sent only with `snapshot: true`.',
  interfaces: [AppEvent],
  fields: (t) => ({
    cursor: cursorField(t),
    viewer: viewerField(t),
  }),
});

const ViewerEvent = builder.unionType('ViewerEvent', {
  description:
    'An event that concerns the viewer. Clients must ignore event types that they do not know, because later versions may add some.',
  types: [
    ...[ChatroomAppeared, ChatroomVanished, FriendshipChanged, BlockChanged, UnreadChanged, SystemNotice],
    ViewerSnapshot,
  ],
  resolveType: (event) => event.kind,
});

builder.subscriptionField('viewerEvents', (t) =>
  t.field({
    type: ViewerEvent,
    nullable: true,
    description:
      'Streams events that concern the viewer, in all chatrooms. Events can repeat or be lost; the fields of `Viewer` and `Chatroom` return the current state. With `after`, first sends missed `ChatroomAppeared`, `ChatroomVanished`, `BlockChanged` and `FriendshipChanged` events, and an `UnreadChanged` event for each chatroom whose read mark the viewer has moved: at most one of each type per chatroom or user. Other missed events are not sent again. Fails with `BAD_USER_INPUT` for an invalid cursor. Fails with `RESYNC_REQUIRED` if the stream cannot resume from the cursor, for example because later changes have been pruned. With `snapshot: true`, the first event is then a `ViewerSnapshot`, and also if there is no `after`, or if the stream missed a change of the viewer that has no event.',
    args: {
      after: t.arg.string({
        description: '`Viewer.cursor`, or the cursor of an event of this stream. By default, only new events are sent.',
      }),
      snapshot: t.arg.boolean({
        required: true,
        defaultValue: false,
        description:
          'Whether the stream begins with a `ViewerSnapshot` if there is no `after`, if it cannot resume from `after`, or if it missed a change that has no event and did not pass it with a later event: of the profile of the viewer, or of a relationship that ended with the account of the other user. A subscription without `after` then misses no change, friendships included.',
      }),
    },
    subscribe: (_, { after, snapshot }, context) => followViewer(context, after, snapshot),
    resolve: (event) => event as Event,
  }),
);
