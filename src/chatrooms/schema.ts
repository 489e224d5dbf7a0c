import { blockStateOf } from '../blocks/blocks.ts';
import { builder, connectionArgs, defineConnection } from '../builder.ts';
import { type Context, requireViewer } from '../context.ts';
import { keyOf } from '../ids.ts';
import { encodeRoomCursor } from '../realtime/cursor.ts';
import { User, Viewer, viewerField } from '../users/schema.ts';
import { requireUser, userById } from '../users/users.ts';
import { deleteChatroom, updateChatroom } from './managing.ts';
import { listChatrooms } from './listing.ts';
import { listOpenChatrooms } from './openChatrooms.ts';
import { MAX_NAMES, titleOf } from './titles.ts';
import {
  chatroomById,
  countMembers,
  createChatroom,
  findDirectChatroom,
  listMembers,
  memberByKey,
  memberKey,
  type ShownMember,
  type VisibleChatroom,
} from './chatrooms.ts';

const ChatroomKind = builder.enumType('ChatroomKind', {
  description: 'Who can be in a chatroom.',
  values: {
    DIRECT: { description: 'Two people. There is one for each pair, made on first use.' },
    GROUP: { description: 'Whoever is invited. Members see its history from the first message on.' },
    OPEN: { description: 'Anyone who is signed in may find it and join. Its messages are for members.' },
  } as const,
});

export const MemberRole = builder.enumType('MemberRole', {
  description: 'What a member may do.',
  values: {
    OWNER: { description: 'Everything. In a DIRECT chatroom nobody is.' },
    ADMIN: { description: 'Manages members, name and topic, and deletes messages.' },
    MEMBER: { description: 'Reads and writes.' },
  } as const,
});

/** A chatroom; other features add fields to it. */
export const Chatroom = builder.objectRef<VisibleChatroom>('Chatroom');
export const ChatroomMember = builder.objectRef<ShownMember>('ChatroomMember');

async function lastReadNumberOf(member: ShownMember, _args: unknown, context: Context): Promise<number> {
  // The viewer is not read, so that equal subscribers share the result.
  if (member.isShownToAll && member.unreadAfter === null) return member.lastReadNumber;
  if (member.userId === requireViewer(context).userId) return member.unreadAfter ?? member.lastReadNumber;
  return (await blockStateOf(context, member.userId))?.either ? 0 : member.lastReadNumber;
}

builder.node(ChatroomMember, {
  description: 'A user in a chatroom.',
  id: { resolve: memberKey },
  loadWithoutCache: (key, context) => memberByKey(context, key),
  fields: (t) => ({
    user: t.field({
      type: User,
      description: 'Who it is.',
      resolve: (member, _args, context) => requireUser(context, member.userId),
    }),
    role: t.expose('role', { type: MemberRole, description: 'What they may do.' }),
    joinedAt: t.expose('joinedAt', { type: 'DateTime', description: 'Since when they are in the room.' }),
    lastReadNumber: t.int({
      description:
        'The number of the last message that they have read; 0 for none, and for somebody across a block. `markUnread` moves it back for the viewer’s own membership, and never for others.',
      resolve: lastReadNumberOf,
    }),
  }),
});
const { List: ChatroomMemberConnection } = defineConnection(ChatroomMember, 'ChatroomMember');

builder.node(Chatroom, {
  description: 'A place to talk. One that the viewer may not see does not exist for them.',
  id: { resolve: (chatroom) => chatroom.id },
  loadWithoutCache: (id, context) => chatroomById(context, id),
  fields: (t) => ({
    kind: t.expose('kind', { type: ChatroomKind, description: 'Who can be in it.' }),
    name: t.exposeString('name', { nullable: true, description: 'What it is called; null in a DIRECT chatroom.' }),
    title: t.string({
      nullable: true,
      description: `What to show as its name, for every kind: the name; in a DIRECT chatroom the nickname of the other member; without a name the nicknames of up to ${MAX_NAMES} other members, the longest-standing first, and "…" for more. Null if there is no other member.`,
      resolve: (chatroom, _args, context) => titleOf(context, chatroom),
    }),
    topic: t.exposeString('topic', { nullable: true, description: 'What it is about.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When its name or topic last changed.' }),
    owner: t.field({
      type: User,
      nullable: true,
      description: 'The one who made it; in a DIRECT chatroom without powers.',
      resolve: (chatroom, _args, context) => (chatroom.ownerId === null ? null : userById(context, chatroom.ownerId)),
    }),
    opponent: t.field({
      type: User,
      nullable: true,
      description: 'The other member of a DIRECT chatroom.',
      resolve: (chatroom, _args, context) =>
        chatroom.opponentId === null ? null : userById(context, chatroom.opponentId),
    }),
    memberCount: t.int({
      description: 'How many members it has.',
      resolve: (chatroom, _args, context) => countMembers(context, chatroom.id),
    }),
    members: t.field({
      type: ChatroomMemberConnection,
      nullable: true,
      description:
        'The longest-standing first. Null unless the viewer is a member; so are messages, message and cursor.',
      args: connectionArgs(t.arg),
      resolve: (chatroom, args, context) =>
        chatroom.viewerRole === null ? null : listMembers(context, chatroom.id, args),
    }),
    lastMessageAt: t.expose('lastMessageAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the last message was sent.',
    }),
    viewerMembership: t.field({
      type: ChatroomMember,
      nullable: true,
      description: 'The viewer as a member of it.',
      resolve: (chatroom, _args, context) =>
        memberByKey(context, memberKey({ chatroomId: chatroom.id, userId: requireViewer(context).userId })),
    }),
    cursor: t.string({
      nullable: true,
      description: 'Where the room stands now: a room cursor, never newer than any other field of the same operation.',
      resolve: (chatroom, _args, { databaseMark, floor }) =>
        chatroom.viewerRole === null
          ? null
          : encodeRoomCursor(databaseMark, {
              kind: 'room',
              chatroomId: chatroom.id,
              number: chatroom.lastNumber,
              seq: chatroom.lastSeq,
              floor,
            }),
    }),
  }),
});
const { List: ChatroomConnection } = defineConnection(Chatroom, 'Chatroom');

const ChatroomFilter = builder.inputType('ChatroomFilter', {
  description: 'Conditions on the chatrooms of a list. All of them must hold; an absent one filters nothing.',
  fields: (t) => ({
    kind: t.field({ type: ChatroomKind, description: 'Only chatrooms of this kind.' }),
    unread: t.boolean({
      description: 'If true, only chatrooms with unread messages; if false, only chatrooms without.',
    }),
    name: t.string({
      description:
        'Only chatrooms whose name contains this text, regardless of letter case and width. A chatroom without a name is found by the nicknames and usernames of the other members. At most 100 characters.',
    }),
  }),
});

builder.objectFields(Viewer, (t) => ({
  chatrooms: t.field({
    type: ChatroomConnection,
    description:
      'The viewer’s chatrooms, most recently active first. Cursors stay valid with another filter. Fails with `BAD_USER_INPUT`.',
    args: {
      filter: t.arg({ type: ChatroomFilter, description: 'Which chatrooms; all of them by default.' }),
      ...connectionArgs(t.arg),
    },
    resolve: (_, { filter, ...args }, context) => listChatrooms(context, args, filter ?? {}),
  }),
  chatroomWith: t.field({
    type: Chatroom,
    nullable: true,
    description: 'The DIRECT chatroom with a user, or null while there is none.',
    args: { userId: t.arg.id({ required: true, description: 'The other user.' }) },
    resolve: (_, { userId }, context) => findDirectChatroom(context, keyOf('User', userId)),
  }),
}));

builder.queryField('chatroom', (t) =>
  t.field({
    type: Chatroom,
    nullable: true,
    description: 'A chatroom by id; null where there is none that the viewer may see.',
    args: { id: t.arg.id({ required: true, description: 'The chatroom.' }) },
    resolve: (_, { id }, context) => {
      requireViewer(context);
      const key = keyOf('Chatroom', id);
      return key === null ? null : chatroomById(context, key);
    },
  }),
);

const CreateChatroomInput = builder.inputType('CreateChatroomInput', {
  description: 'A new chatroom.',
  fields: (t) => ({
    kind: t.field({ type: ChatroomKind, required: true, description: 'Who can be in it.' }),
    name: t.string({
      description:
        '1 to 100 characters in one line, at least one of them visible. An OPEN chatroom needs one, a DIRECT one has none.',
    }),
    topic: t.string({ description: '1 to 500 characters, with line breaks. A DIRECT chatroom has none.' }),
    memberIds: t.idList({
      required: true,
      defaultValue: [],
      description: 'Users to add beside the viewer, at most 100, all or none; for DIRECT exactly one.',
    }),
  }),
});

export const ChatroomPayload = builder.objectRef<{ chatroom: VisibleChatroom }>('ChatroomPayload').implement({
  description: 'The chatroom as it is now.',
  fields: (t) => ({ chatroom: t.expose('chatroom', { type: Chatroom, description: 'The chatroom.' }) }),
});

builder.mutationField('createChatroom', (t) =>
  t.field({
    type: ChatroomPayload,
    nullable: true,
    description:
      'Makes a chatroom. For DIRECT: the one room of the two, made on first use. Fails with `BAD_USER_INPUT`, or `NOT_FOUND` for an unknown user.',
    args: { input: t.arg({ type: CreateChatroomInput, required: true, description: 'The new chatroom.' }) },
    resolve: async (_, { input }, context) => ({
      chatroom: await createChatroom(context, { ...input, memberIds: input.memberIds.map((id) => keyOf('User', id)) }),
    }),
  }),
);

builder.queryField('openChatrooms', (t) =>
  t.field({
    type: ChatroomConnection,
    nullable: true,
    description: 'OPEN chatrooms by name, or those whose name begins with `search`.',
    args: {
      search: t.arg.string({ description: 'How a name begins, without regard to letter case.' }),
      ...connectionArgs(t.arg),
    },
    resolve: (_, { search, ...args }, context) => listOpenChatrooms(context, search, args),
  }),
);

export const ChatroomTargetInput = builder.inputType('ChatroomTargetInput', {
  description: 'A chatroom.',
  fields: (t) => ({ chatroomId: t.id({ required: true, description: 'Which.' }) }),
});

const UpdateChatroomInput = builder.inputType('UpdateChatroomInput', {
  description: 'What to change: an absent field stays, null clears it.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Which.' }),
    name: t.string({
      description: '1 to 100 characters in one line, at least one of them visible; an OPEN chatroom keeps one.',
    }),
    topic: t.string({ description: '1 to 500 characters, with line breaks.' }),
  }),
});

const DeleteChatroomPayload = builder.objectRef<{ chatroomId: string }>('DeleteChatroomPayload').implement({
  description: 'The chatroom that is gone, or hidden.',
  fields: (t) => ({
    deletedChatroomId: t.exposeID('chatroomId', { description: 'Its id.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => ({
  updateChatroom: t.field({
    type: ChatroomPayload,
    nullable: true,
    description:
      'Gives a chatroom another name or topic, for its owner and admins. Fails with `BAD_USER_INPUT`, `NOT_FOUND` or `FORBIDDEN`.',
    args: { input: t.arg({ type: UpdateChatroomInput, required: true, description: 'What to change.' }) },
    resolve: async (_, { input: { chatroomId, ...change } }, context) => ({
      chatroom: await updateChatroom(context, keyOf('Chatroom', chatroomId), change),
    }),
  }),
  deleteChatroom: t.field({
    type: DeleteChatroomPayload,
    nullable: true,
    description:
      'Ends a chatroom with all that was said in it, for its owner. A DIRECT one is only hidden from the viewer, and read, until the next message. Fails with `NOT_FOUND` or `FORBIDDEN`.',
    args: { input: t.arg({ type: ChatroomTargetInput, required: true, description: 'The chatroom.' }) },
    resolve: async (_, { input: { chatroomId } }, context) => {
      await deleteChatroom(context, keyOf('Chatroom', chatroomId));
      return { chatroomId };
    },
  }),
}));
