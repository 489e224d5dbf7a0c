import type { ObjectFieldBuilder } from '@pothos/core';
import { builder, type Types } from '../builder.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { FriendshipStatus } from '../friends/schema.ts';
import { encodeId } from '../ids.ts';
import { NoticeAuthor, noticeAuthorOf } from '../messages/schema.ts';
import { countAllUnread, countUnread } from '../reading/reading.ts';
import { User, viewerField } from '../users/schema.ts';
import { userById } from '../users/users.ts';
import { followViewer, type ViewerEvent as Event } from './viewerEvents.ts';

type EventOf<Kind extends Event['kind']> = Extract<Event, { kind: Kind }>;

function cursorField<Of extends Event>(t: ObjectFieldBuilder<Types, Of>) {
  return t.string({
    description:
      'An all-rooms cursor: pass it to `viewerEvents` as `after` to get the changes that followed this event.',
    resolve: (event) => event.cursor,
  });
}

const ChatroomAppeared = builder.objectRef<EventOf<'ChatroomAppeared'>>('ChatroomAppeared').implement({
  description: 'The viewer was added to a room, or a message opened (or reopened) a direct one.',
  fields: (t) => ({
    cursor: cursorField(t),
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The room.' }),
  }),
});

const ChatroomVanishedReason = builder.enumType('ChatroomVanishedReason', {
  description: 'Why the viewer has lost a chatroom.',
  values: {
    LEFT: { description: 'The viewer left it, on whichever device.' },
    REMOVED: { description: 'The owner or an admin removed the viewer.' },
    DELETED: { description: 'It was deleted, or its last member left.' },
    HIDDEN: { description: 'The viewer deleted a DIRECT chatroom, which hides it until the next message.' },
  } as const,
});

const ChatroomVanished = builder.objectRef<EventOf<'ChatroomVanished'>>('ChatroomVanished').implement({
  description: 'The viewer has left a room, was removed from it, or has hidden it; or it was deleted.',
  fields: (t) => ({
    cursor: cursorField(t),
    chatroomId: t.id({ description: 'Its id.', resolve: (event) => encodeId('Chatroom', event.chatroomId) }),
    reason: t.expose('reason', {
      type: ChatroomVanishedReason,
      nullable: true,
      description: 'Why. Null if unknown, because an earlier release stored the event.',
    }),
  }),
});

const FriendshipChanged = builder.objectRef<EventOf<'FriendshipChanged'>>('FriendshipChanged').implement({
  description: 'A friendship was made, asked for, or ended.',
  fields: (t) => ({
    cursor: cursorField(t),
    userId: t.id({ description: 'The other.', resolve: (event) => encodeId('User', event.userId) }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'The other; null where the account is gone.',
      resolve: (event, _args, context) => userById(context, event.userId),
    }),
    status: t.expose('status', {
      type: FriendshipStatus,
      nullable: true,
      description: 'Friends, or asked for; null where neither is left.',
    }),
    viewer: viewerField(t),
  }),
});

const UnreadChanged = builder.objectRef<EventOf<'UnreadChanged'>>('UnreadChanged').implement({
  description: 'A room has another number of unread messages.',
  fields: (t) => ({
    cursor: cursorField(t),
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The room.' }),
    unreadCount: t.int({
      description: 'In this room.',
      resolve: (event, _args, context) => countUnread(context, event.chatroom.id),
    }),
    totalUnreadCount: t.int({
      description: 'In all rooms: Viewer.unreadCount.',
      resolve: (_, _args, context) => countAllUnread(context),
    }),
    viewer: viewerField(t),
  }),
});

const SystemNotice = builder.objectRef<EventOf<'SystemNotice'>>('SystemNotice').implement({
  description: 'Another service says something to the viewer. It is told to those who listen, and kept nowhere.',
  fields: (t) => ({
    cursor: cursorField(t),
    body: t.exposeString('body', { description: 'What it says.' }),
    sentAt: t.expose('sentAt', { type: 'DateTime', description: 'When it was sent.' }),
    author: t.field({
      type: NoticeAuthor,
      nullable: true,
      description: 'Who sent it. Null if a node of an earlier release received it.',
      resolve: noticeAuthorOf,
    }),
    clientMessageId: t.exposeString('clientMessageId', {
      nullable: true,
      description: 'What the service called it. A retry is delivered again, with the same value.',
    }),
  }),
});

const ViewerEvent = builder.unionType('ViewerEvent', {
  description: 'Something that concerns the viewer. Clients ignore the types that they do not know.',
  types: [ChatroomAppeared, ChatroomVanished, FriendshipChanged, UnreadChanged, SystemNotice],
  resolveType: (event) => event.kind,
});

builder.subscriptionField('viewerEvents', (t) =>
  t.field({
    type: ViewerEvent,
    nullable: true,
    description:
      'Events that concern the viewer, in all rooms. They are hints: each has a field in Query that is the truth. With `after`, the stream first sends a ChatroomAppeared or ChatroomVanished for each room that appeared in `Viewer.chatrooms` or vanished from it since the cursor. An event can come twice. Fails with `BAD_USER_INPUT`, or with `RESYNC_REQUIRED` if the cursor cannot be honoured any more.',
    args: {
      after: t.arg.string({ description: '`Viewer.cursor`, or the cursor of an event of this stream.' }),
    },
    subscribe: (_, { after }, context) => followViewer(context, after),
    resolve: (event) => event,
  }),
);
