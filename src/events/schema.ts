import type { ObjectFieldBuilder } from '@pothos/core';
import { builder, type Types } from '../builder.ts';
import { memberByKey, memberKey, requireRoomOf } from '../chatrooms/chatrooms.ts';
import { Chatroom, ChatroomMember } from '../chatrooms/schema.ts';
import { encodeId, keyOf } from '../ids.ts';
import { Message } from '../messages/schema.ts';
import { encodeAllRoomsCursor } from '../realtime/cursor.ts';
import { User, Viewer } from '../users/schema.ts';
import { userById } from '../users/users.ts';
import { followAllMessages } from './allRooms.ts';
import { actorOf, followChatroom } from './events.ts';
import type { ChatroomEvent as Event } from './loading.ts';

/** The type by which clients know each kind of event. */
const typeNames: Record<Event['kind'], string> = {
  MESSAGE_ADDED: 'MessageAdded',
  MESSAGE_EDITED: 'MessageEdited',
  MESSAGE_DELETED: 'MessageDeleted',
  REACTIONS_CHANGED: 'ReactionsChanged',
  MEMBER_JOINED: 'MemberJoined',
  MEMBER_UPDATED: 'MemberUpdated',
  MEMBER_LEFT: 'MemberLeft',
  CHATROOM_UPDATED: 'ChatroomUpdated',
  CAUGHT_UP: 'CaughtUp',
};

const ChatroomEvent = builder.interfaceRef<Event>('ChatroomEvent').implement({
  description: 'Something that happened in a room. Clients ignore the types that they do not know.',
  resolveType: (event) => typeNames[event.kind],
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'A room cursor: what comes after this event.' }),
    chatroom: t.field({
      type: Chatroom,
      description: 'Where it happened.',
      resolve: (event, _args, context) => requireRoomOf(context, event.chatroomId),
    }),
  }),
});

type MessageEvent = Event & { message: NonNullable<Event['message']> };

function messageField(t: ObjectFieldBuilder<Types, MessageEvent>) {
  return t.expose('message', { type: Message, description: 'The message, as it is now.' });
}

function actorField<E extends Event>(t: ObjectFieldBuilder<Types, E>, description: string) {
  return t.field({
    type: User,
    nullable: true,
    description: `${description} Null if the viewer has blocked this user, if the account is gone, if the operator did it, and for events stored by earlier releases.`,
    resolve: (event, _args, context) => actorOf(context, event),
  });
}

function defineMessageEvent(name: string, description: string) {
  return builder.objectRef<MessageEvent>(name).implement({
    description,
    interfaces: [ChatroomEvent],
    fields: (t) => ({ message: messageField(t) }),
  });
}

const MessageAdded = defineMessageEvent('MessageAdded', 'A message was sent.');
defineMessageEvent('MessageEdited', 'A message has another text.');
builder.objectRef<MessageEvent>('MessageDeleted').implement({
  description: 'A message was deleted: its number stays.',
  interfaces: [ChatroomEvent],
  fields: (t) => ({
    message: messageField(t),
    actor: actorField(t, 'The user who deleted the message: its sender, the owner or an admin.'),
  }),
});
defineMessageEvent('ReactionsChanged', 'Somebody reacted to a message, or took it back.');

type MemberEvent = Event & { userId: string };

const userIdOf = (event: MemberEvent) => encodeId('User', event.userId);

builder.objectRef<MemberEvent>('MemberJoined').implement({
  description:
    'Somebody became a member. Replayed events show things as they are now: who has left since has no member.',
  interfaces: [ChatroomEvent],
  fields: (t) => ({
    userId: t.id({ description: 'Who it was.', resolve: userIdOf }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'Who it was; null where the account is gone.',
      resolve: (event, _args, context) => userById(context, event.userId),
    }),
    member: t.field({
      type: ChatroomMember,
      nullable: true,
      description: 'The member, unless they have left since.',
      resolve: (event, _args, context) => memberByKey(context, memberKey(event)),
    }),
  }),
});

builder.objectRef<MemberEvent>('MemberUpdated').implement({
  description: 'A member has another role.',
  interfaces: [ChatroomEvent],
  fields: (t) => ({
    userId: t.id({ description: 'Who it was.', resolve: userIdOf }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'The user whose role changed. Null if the account is gone.',
      resolve: (event, _args, context) => userById(context, event.userId),
    }),
    member: t.field({
      type: ChatroomMember,
      nullable: true,
      description: 'The member, unless they have left since.',
      resolve: (event, _args, context) => memberByKey(context, memberKey(event)),
    }),
  }),
});

builder.objectRef<MemberEvent>('MemberLeft').implement({
  description: 'Somebody left, or was removed.',
  interfaces: [ChatroomEvent],
  fields: (t) => ({
    userId: t.id({ description: 'Who it was.', resolve: userIdOf }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'Who it was; null where the account is gone.',
      resolve: (event, _args, context) => userById(context, event.userId),
    }),
  }),
});

builder.objectRef<Event>('ChatroomUpdated').implement({
  description: 'The room has another name, topic or owner.',
  interfaces: [ChatroomEvent],
  fields: (t) => ({
    actor: actorField(t, 'The user who changed the chatroom, or whose leaving gave it another owner.'),
  }),
});

builder.objectRef<Event>('CaughtUp').implement({
  description: 'All that had been missed has now been sent; what follows is live.',
  interfaces: [ChatroomEvent],
});

builder.objectField(Viewer, 'cursor', (t) =>
  t.string({
    description:
      'Where all the viewer’s rooms stand now: pass it as `after` to viewerEvents, and to messageAdded without a room. Never newer than any other field of the same operation.',
    // In an event, whose fields are read anew, the last sweep is older than them all.
    resolve: (_, _args, { databaseMark, floor, sweep }) =>
      encodeAllRoomsCursor(databaseMark, floor ?? sweep.snapshot()),
  }),
);

builder.subscriptionFields((t) => ({
  messageAdded: t.field({
    type: MessageAdded,
    nullable: true,
    description:
      'The messages of a room, or of all the viewer’s rooms, those too that they join later. With `after`, first those that were missed: everything after the cursor, each once, in order, then what comes. Over all rooms, messages can come twice right after a resume. Fails with `NOT_FOUND`, `BAD_USER_INPUT`, or `RESYNC_REQUIRED` where the cursor cannot be honoured any more; ends with `NOT_FOUND` when the viewer loses the room.',
    args: {
      chatroomId: t.arg.id({ description: 'The room; all rooms if left out.' }),
      after: t.arg.string({
        description: 'Of one room: a room cursor. Of all: `Viewer.cursor`, or the cursor of an event of this stream.',
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
      'All that happens in one room, in order; with `after`, first what was missed, then CaughtUp. Fails and ends as messageAdded does.',
    args: {
      chatroomId: t.arg.id({ required: true, description: 'The room.' }),
      after: t.arg.string({ description: 'A room cursor.' }),
    },
    subscribe: (_, { chatroomId, after }, context) =>
      followChatroom(context, keyOf('Chatroom', chatroomId), after, { caughtUp: true }),
    resolve: (event) => event,
  }),
}));
