import type { ObjectFieldBuilder } from '@pothos/core';
import { builder, type Types } from '../../graphql/builder.ts';
import { memberByKey, memberKey, requireEventChatroom } from '../chatrooms/chatrooms.ts';
import { Chatroom, ChatroomMember } from '../chatrooms/schema.ts';
import { snapshotOf } from '../../core/context.ts';
import { encodeId, keyOf } from '../../core/globalIds.ts';
import { fromEvent } from '../../graphql/personalFields.ts';
import { loadUnlessOnlyId } from '../../graphql/loadUnlessOnlyId.ts';
import { readsSnapshot } from '../../graphql/snapshotFields.ts';
import { Message } from '../messages/schema.ts';
import { encodeAllRoomsCursor } from '../../delivery/cursor.ts';
import { User, Viewer } from '../users/schema.ts';
import { userById } from '../users/users.ts';
import { AppEvent, typeNames } from './appEventSchema.ts';
import { followAllMessages } from './allRoomsStream.ts';
import { actorOf, followChatroom } from './chatroomStream.ts';
import type { ChatroomEvent as Event } from './eventPage.ts';
import { followWithSnapshots } from './snapshotStream.ts';

const ChatroomEvent = builder.interfaceRef<Event>('ChatroomEvent').implement({
  description:
    'An event of a chatroom. Clients must ignore event types that they do not know, because later versions may add some.',
  interfaces: [AppEvent],
  resolveType: (event) => typeNames[event.kind],
  fields: (t) => ({
    cursor: t.string({
      description:
        'Position of the event. Pass it as `after` to resume after the event. In `events`, and in `messageAdded` without `chatroomId`, this is a cursor of all rooms. In every other stream, this is a room cursor.',
      // The shared event of a stream over all rooms has no cursor, because each stream has its own.
      resolve: (event, _args, context, info) =>
        (event.cursor as string | null) ?? fromEvent(context, info, event, ({ cursor }) => cursor),
    }),
    seq: t.exposeInt('seq', {
      description:
        'Position of the event in the log of the chatroom, counted from 1. An event that a stream repeats has the same `chatroom` and `seq`. A viewer does not see every position, because a block hides events. For `CaughtUp` and `RoomSnapshot`, the position of the last event before it.',
    }),
    chatroom: t.field({
      type: Chatroom,
      description: 'Chatroom of the event.',
      resolve: ({ chatroomId }, _args, context, info) =>
        loadUnlessOnlyId(info, chatroomId, () => requireEventChatroom(context, chatroomId)),
    }),
  }),
});

type MessageEvent = Event & { message: NonNullable<Event['message']> };

function messageField(t: ObjectFieldBuilder<Types, MessageEvent>) {
  return t.expose('message', {
    type: Message,
    description: 'The message in its current state, which may be newer than the event.',
  });
}

function actorField<E extends Event>(t: ObjectFieldBuilder<Types, E>, description: string) {
  return t.field({
    type: User,
    nullable: true,
    description: `${description} Null if the viewer has blocked this user, if the account was deleted, or if the operator made the change. Also null for events stored by earlier releases.`,
    resolve: (event, _args, context) => actorOf(context, event),
  });
}

function defineMessageEvent(name: string, description: string) {
  return builder.objectRef<MessageEvent>(name).implement({
    description,
    interfaces: [AppEvent, ChatroomEvent],
    fields: (t) => ({ message: messageField(t) }),
  });
}

const MessageAdded = defineMessageEvent('MessageAdded', 'A message was sent.');
defineMessageEvent('MessageEdited', 'The text of a message was edited.');
builder.objectRef<MessageEvent>('MessageDeleted').implement({
  description: 'A message was deleted. The message remains in the chatroom with its number, but without its text.',
  interfaces: [AppEvent, ChatroomEvent],
  fields: (t) => ({
    message: messageField(t),
    actor: actorField(t, 'The user who deleted the message: its sender, the owner or an admin.'),
  }),
});
defineMessageEvent('ReactionsChanged', 'A reaction was added to a message, or removed from it.');
defineMessageEvent(
  'AttachmentsChanged',
  'The processing of a file of a message has ended: the file is READY or REJECTED.',
);

defineMessageEvent(
  'LinkPreviewsChanged',
  'A link preview was found for a message that was sent with AUTO, or a link preview was removed.',
);

type MemberEvent = Event & { userId: string };

const userIdOf = (event: MemberEvent) => encodeId('User', event.userId);

builder.objectRef<MemberEvent>('MemberJoined').implement({
  description:
    'A user became a member of the chatroom. All fields show the current state, which may be newer than the event.',
  interfaces: [AppEvent, ChatroomEvent],
  fields: (t) => ({
    userId: t.id({ description: 'Id of the user who joined.', resolve: userIdOf }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'The user who joined. Null if the account was deleted.',
      resolve: (event, _args, context) => userById(context, event.userId),
    }),
    member: t.field({
      type: ChatroomMember,
      nullable: true,
      description: 'The membership of this user. Null if the user is no longer a member.',
      resolve: (event, _args, context) => memberByKey(context, memberKey(event)),
    }),
  }),
});

builder.objectRef<MemberEvent>('MemberUpdated').implement({
  description: 'The role of a member changed.',
  interfaces: [AppEvent, ChatroomEvent],
  fields: (t) => ({
    userId: t.id({ description: 'Id of the user whose role changed.', resolve: userIdOf }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'The user whose role changed. Null if the account was deleted.',
      resolve: (event, _args, context) => userById(context, event.userId),
    }),
    member: t.field({
      type: ChatroomMember,
      nullable: true,
      description: 'The membership of this user, with the current role. Null if the user is no longer a member.',
      resolve: (event, _args, context) => memberByKey(context, memberKey(event)),
    }),
  }),
});

builder.objectRef<MemberEvent>('MemberLeft').implement({
  description: 'A member left the chatroom, or was removed from it.',
  interfaces: [AppEvent, ChatroomEvent],
  fields: (t) => ({
    userId: t.id({ description: 'Id of the user who left or was removed.', resolve: userIdOf }),
    memberId: t.id({
      description: 'Id of the membership that ended: the `id` of a `ChatroomMember` that no longer exists.',
      resolve: (event) => encodeId('ChatroomMember', memberKey(event)),
    }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'The user who left or was removed. Null if the account was deleted.',
      resolve: (event, _args, context) => userById(context, event.userId),
    }),
  }),
});

builder.objectRef<Event>('ChatroomUpdated').implement({
  description: 'The name, topic, avatar or owner of the chatroom changed.',
  interfaces: [AppEvent, ChatroomEvent],
  fields: (t) => ({
    actor: actorField(
      t,
      'The user who changed the chatroom. If a member became the owner because the owner left, this is the former owner.',
    ),
  }),
});

builder.objectRef<Event>('CaughtUp').implement({
  description:
    'Sent once after the last missed event, when `chatroomEvents` resumes with `after`. All later events are live.',
  interfaces: [AppEvent, ChatroomEvent],
});

export const SnapshotReason = builder.enumType('SnapshotReason', {
  description: 'Reason why a stream sends a snapshot.',
  values: {
    REQUESTED: { description: 'The subscription has `snapshot: true` and no `after`. This is the first event.' },
    RESYNC: {
      description:
        'The events do not lead to the current state: the stream cannot continue from its cursor, or the viewer has blocked or unblocked a user, which changes earlier messages. Replace all earlier data of the chatroom.',
    },
  } as const,
});

builder.objectRef<Event & { reason: 'REQUESTED' | 'RESYNC' }>('RoomSnapshot').implement({
  description:
    'The chatroom in one state of the database, which all selected fields show. The following events continue exactly after `cursor`: none is missing, and the snapshot contains none of them. Sent only by `chatroomEvents` with `snapshot: true`.',
  interfaces: [AppEvent, ChatroomEvent],
  fields: (t) => ({
    reason: t.expose('reason', { type: SnapshotReason, description: 'Reason why the stream sends this snapshot.' }),
  }),
});

builder.objectField(Viewer, 'cursor', (t) =>
  t.string({
    extensions: readsSnapshot,
    description:
      'All-rooms cursor: the current position in all chatrooms of the viewer. Pass it as `after` to `events`, to `viewerEvents`, or to `messageAdded` without `chatroomId`. The cursor is never newer than the other fields of the operation. From this cursor, `events` misses no event, `messageAdded` misses no message, and `viewerEvents` misses no change of `Viewer.chatrooms`.',
    // The context of an event has no `asOf` snapshot. The fields of an event are read after the last poll, so the
    // snapshot of that poll is never newer than the fields.
    resolve: (_, _args, context) =>
      encodeAllRoomsCursor(context.databaseId, snapshotOf(context) ?? context.changePoller.snapshot()),
  }),
);

builder.subscriptionFields((t) => ({
  messageAdded: t.field({
    type: MessageAdded,
    nullable: true,
    description:
      'Streams the messages of one chatroom. Without `chatroomId`, streams the messages of all chatrooms of the viewer, including chatrooms joined later. With `after`, first sends every message after the cursor, then continues live. The messages of a chatroom arrive in order. A stream of one chatroom sends each message once. A stream of all chatrooms can repeat messages right after a resume. Fails with `NOT_FOUND` if the viewer is not a member, and with `BAD_USER_INPUT` for an invalid cursor. Fails with `RESYNC_REQUIRED` if the stream cannot resume from the cursor, for example because later changes have been pruned. A stream of one chatroom ends with `NOT_FOUND` when the viewer loses access to the chatroom.',
    args: {
      chatroomId: t.arg.id({
        description: 'Id of the chatroom. By default, the stream covers all chatrooms of the viewer.',
      }),
      after: t.arg.string({
        description:
          'With `chatroomId`, a room cursor of the chatroom. Without `chatroomId`, `Viewer.cursor` or the cursor of an event of this stream. By default, only new messages are sent.',
      }),
    },
    subscribe: (_, { chatroomId, after }, context) =>
      chatroomId == null
        ? followAllMessages(context, after)
        : followChatroom(context, keyOf('Chatroom', chatroomId), after, { only: 'MESSAGE_ADDED' }),
    resolve: (event) => event as MessageEvent,
  }),
  chatroomEvents: t.field({
    type: ChatroomEvent,
    nullable: true,
    description:
      'Streams all events of one chatroom in order. With `after`, first sends the missed events, then `CaughtUp`, then continues live. With `snapshot: true` and no `after`, the first event is a `RoomSnapshot`, so that one subscription opens a chatroom. Fails and ends with the same errors as `messageAdded`, but not with `RESYNC_REQUIRED` if `snapshot` is true.',
    args: {
      chatroomId: t.arg.id({ required: true, description: 'Id of the chatroom.' }),
      after: t.arg.string({ description: 'A room cursor of this chatroom. By default, only new events are sent.' }),
      snapshot: t.arg.boolean({
        required: true,
        defaultValue: false,
        description:
          'Whether the stream sends snapshots of the chatroom: a first one if there is no `after`, and one with the reason `RESYNC` if the events do not lead to the current state.',
      }),
    },
    subscribe: (_, { chatroomId, after, snapshot }, context) =>
      snapshot
        ? followWithSnapshots(context, keyOf('Chatroom', chatroomId), after)
        : followChatroom(context, keyOf('Chatroom', chatroomId), after, { caughtUp: true }),
    resolve: (event) => event as Event,
  }),
}));
