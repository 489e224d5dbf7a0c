import { blockStateOf } from '../relationships/blocks.ts';
import type { ObjectRef } from '@pothos/core';
import { shownExternalId } from '../../auth/admins.ts';
import { builder, connectionArgs, defineConnection, type Types } from '../../graphql/builder.ts';
import { type Context, requireViewer, snapshotOf } from '../../core/context.ts';
import { keyOf } from '../../core/globalIds.ts';
import { encodeRoomCursor } from '../../delivery/cursor.ts';
import { personal } from '../../graphql/personalFields.ts';
import { loadUnlessOnlyId } from '../../graphql/loadUnlessOnlyId.ts';
import { readsSnapshot } from '../../graphql/snapshotFields.ts';
import { alsoForServices, forServicesOnly } from '../../graphql/schemaPlugin.ts';
import { onlyServices } from '../users/externalIds.ts';
import { User, Viewer, viewerField } from '../users/schema.ts';
import { requireUser, userById } from '../users/users.ts';
import { deleteChatroom, updateChatroom } from './changes.ts';
import {
  createExternalChatroom,
  findChatroomOfService,
  findExternalChatroom,
  READS_ROOMS,
} from './externalChatrooms.ts';
import { listOpenChatrooms } from './publicChatrooms.ts';
import { MAX_NAMES, titleOf } from './titles.ts';
import {
  chatroomById,
  type ChatroomRow,
  countMembers,
  createChatroom,
  findDirectChatroom,
  isJoined,
  listMembers,
  membershipOf,
  memberKey,
  opponentIdOf,
  type ShownMember,
  type VisibleChatroom,
  visibleChatroom,
  visibleMember,
} from './chatrooms.ts';

export const ChatroomKind = builder.enumType('ChatroomKind', {
  description: 'Kind of a chatroom. Determines which users can be members.',
  values: {
    DIRECT: { description: 'A conversation of two users. Each pair of users has at most one DIRECT chatroom.' },
    GROUP: { description: 'Only the owner and admins add members. New members also see all earlier messages.' },
    OPEN: { description: 'Any signed-in user may find and join the chatroom. Only members see its messages.' },
  } as const,
});

export const MemberRole = builder.enumType('MemberRole', {
  description: 'Role of a member in a chatroom.',
  values: {
    OWNER: {
      description:
        'Has the rights of an admin, assigns roles, and may delete the chatroom. DIRECT chatrooms have no member with this role.',
    },
    ADMIN: { description: 'Manages members, name and topic, and may delete messages of other members.' },
    MEMBER: { description: 'Reads and sends messages.' },
  } as const,
});

async function lastReadNumberOf(context: Context, member: ShownMember): Promise<number> {
  if (member.userId === requireViewer(context).userId) return member.unreadAfter ?? member.lastReadNumber;
  return (await blockStateOf(context, member.userId))?.either ? 0 : member.lastReadNumber;
}

export const ChatroomMember = builder.prismaNode('Member', {
  name: 'ChatroomMember',
  description: 'Membership of a user in a chatroom.',
  extensions: { isPersonal: true },
  id: { resolve: memberKey },
  nullable: true,
  findUnique: (key, context) => visibleMember(key, requireViewer(context).userId),
  fields: (t) => ({
    user: t.field({
      type: User,
      description: 'User who is the member.',
      resolve: ({ userId }, _args, context, info) => loadUnlessOnlyId(info, userId, () => requireUser(context, userId)),
    }),
    role: t.expose('role', { type: MemberRole, description: 'Role of the member.' }),
    joinedAt: t.expose('joinedAt', { type: 'DateTime', description: 'Time at which the user joined the chatroom.' }),
    lastReadNumber: t.int({
      description:
        'Number of the last message that the member has read. 0 if the member has read none. Also 0 if there is a block between the viewer and the member. After `markUnread`, the viewer sees a lower number in their own membership. Other users do not see the change.',
      resolve: (member: ShownMember, _args, context, info) =>
        member.isReadMarkPublic && member.unreadAfter === null
          ? member.lastReadNumber
          : personal(context, info, (own) => lastReadNumberOf(own, member)),
    }),
  }),
});
const { List: ChatroomMemberConnection } = defineConnection(ChatroomMember, 'ChatroomMember');

const ChatroomNode = builder.prismaNode('Chatroom', {
  description:
    'A conversation in which members exchange messages. A chatroom that the viewer may not see behaves as if it did not exist.',
  id: { field: 'id' },
  nullable: true,
  findUnique: (id, context) => visibleChatroom(id, requireViewer(context).userId),
  fields: (t) => ({
    kind: t.expose('kind', { type: ChatroomKind, description: 'Kind of the chatroom.' }),
    name: t.exposeString('name', {
      nullable: true,
      description: 'Name of the chatroom. Null in a DIRECT chatroom, and in a GROUP chatroom without a name.',
    }),
    title: t.string({
      nullable: true,
      description: `Display name for a chatroom of any kind: its \`name\`, or else the nicknames of the other members. Lists at most ${MAX_NAMES} nicknames, longest-standing member first, then "…" if there are more members. Null if the chatroom has no name and no other members.`,
      // Only the title of a nameless room depends on the viewer.
      resolve: (chatroom, _args, context, info) =>
        chatroom.name ?? personal(context, info, (own) => titleOf(own, chatroom.id)),
    }),
    topic: t.exposeString('topic', { nullable: true, description: 'Topic of the chatroom. Null if none is set.' }),
    externalId: t.string({
      nullable: true,
      description:
        'Id of the chatroom in the application that created the chatroom through a service. Null for everybody but services and admins.',
      resolve: ({ externalId }, _args, context) => shownExternalId(context, externalId),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the chatroom was created.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'Time of the last change to name or topic.' }),
    owner: t.field({
      type: User,
      nullable: true,
      description:
        'Owner of the chatroom. In a DIRECT chatroom, the creator is the owner, but has no special rights. Null if the account of the owner has been deleted.',
      resolve: ({ ownerId }, _args, context, info) =>
        ownerId === null ? null : loadUnlessOnlyId(info, ownerId, () => userById(context, ownerId)),
    }),
    opponent: t.field({
      type: User,
      nullable: true,
      description:
        'The other member of a DIRECT chatroom. Null in GROUP and OPEN chatrooms, and if the account has been deleted.',
      async resolve(chatroom, _args, context, info) {
        const opponentId = await opponentIdOf(context, chatroom);
        return opponentId === null ? null : loadUnlessOnlyId(info, opponentId, () => userById(context, opponentId));
      },
    }),
    memberCount: t.int({
      description: 'Number of members.',
      resolve: (chatroom, _args, context) => countMembers(context, chatroom.id),
    }),
    members: t.field({
      type: ChatroomMemberConnection,
      nullable: true,
      description: 'Members, longest-standing first. Null unless the viewer is a member.',
      args: connectionArgs(t.arg),
      extensions: alsoForServices(...READS_ROOMS),
      resolve: async (chatroom, args, context) =>
        context.service || (await isJoined(context, chatroom)) ? listMembers(context, chatroom.id, args) : null,
    }),
    lastMessageAt: t.expose('lastMessageAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Time of the latest message, including SYSTEM messages. Null if there are no messages.',
    }),
    viewerMembership: t.field({
      type: ChatroomMember,
      nullable: true,
      description: 'Membership of the viewer. Null if the viewer is not a member.',
      resolve: (chatroom, _args, context) => membershipOf(context, chatroom),
    }),
    cursor: t.string({
      extensions: readsSnapshot,
      nullable: true,
      description:
        'Room cursor: position of the latest event of the chatroom. Pass it as `after` to `messageAdded` or `chatroomEvents`. The cursor is never newer than the other fields of the operation, so the subscription misses no event. Null unless the viewer is a member.',
      async resolve(chatroom, _args, context) {
        if (!(await isJoined(context, chatroom))) return null;
        const { id: chatroomId, lastNumber: number, lastSeq: seq } = chatroom;
        const asOf = snapshotOf(context);
        return encodeRoomCursor(context.databaseId, { kind: 'room', chatroomId, number, seq, asOf });
      },
    }),
  }),
});
/**
 * GraphQL type of a chatroom. A field with this type must return a `VisibleChatroom`: a row that was read without an
 * access check is a type error. The fields of this type must accept a `ChatroomRow` as their parent.
 */
export const Chatroom = ChatroomNode as unknown as ObjectRef<Types, VisibleChatroom, ChatroomRow>;
export const { List: ChatroomConnection } = defineConnection(Chatroom, 'Chatroom');

builder.objectFields(Viewer, (t) => ({
  chatroomWith: t.field({
    type: Chatroom,
    nullable: true,
    description: 'The viewer’s DIRECT chatroom with a user. Null if there is none.',
    args: { userId: t.arg.id({ required: true, description: 'Id of the other user.' }) },
    resolve: (_, { userId }, context) => findDirectChatroom(context, keyOf('User', userId)),
  }),
}));

builder.queryField('chatroom', (t) =>
  t.field({
    type: Chatroom,
    nullable: true,
    description: 'A chatroom by id. Null if the chatroom does not exist or the viewer may not see it.',
    extensions: alsoForServices(...READS_ROOMS),
    args: { id: t.arg.id({ required: true, description: 'Id of the chatroom.' }) },
    resolve: (_, { id }, context) => {
      const key = keyOf('Chatroom', id);
      if (context.service) return findChatroomOfService(context, key);
      return key === null ? null : chatroomById(context, key);
    },
  }),
);

builder.queryField('chatroomByExternalId', (t) =>
  t.field({
    extensions: forServicesOnly(...READS_ROOMS),
    type: Chatroom,
    nullable: true,
    description:
      'A chatroom by the id that the application of a service has given to it. Null if there is none. Requires a service token with the scope `rooms:write` or `messages:read`.',
    args: { externalId: t.arg.string({ required: true, description: 'Id of the chatroom in the application.' }) },
    resolve: (_, { externalId }, context) => findExternalChatroom(context, externalId),
  }),
);

const CreateChatroomInput = builder.inputType('CreateChatroomInput', {
  description: 'Properties of a new chatroom.',
  fields: (t) => ({
    kind: t.field({
      type: ChatroomKind,
      required: true,
      description: 'Kind of the chatroom. Cannot be changed later.',
    }),
    name: t.string({
      description:
        'Name: 1 to 100 characters on one line, at least one of them visible. Required for OPEN, optional for GROUP, not allowed for DIRECT.',
    }),
    topic: t.string({
      description: 'Topic: 1 to 500 characters. Line breaks are allowed. Not allowed for DIRECT.',
    }),
    memberIds: t.idList({
      required: true,
      defaultValue: [],
      description:
        'Ids of the users to add besides the viewer. At most 100; exactly one for a DIRECT chatroom. If any of them cannot be added, no chatroom is created.',
    }),
    externalId: t.string({
      description:
        'For services: id of the chatroom in the application, 1 to 255 characters. If a chatroom has this id, the mutation returns that chatroom unchanged.',
    }),
    ownerId: t.id({ description: 'For services: id of the owner. Same as `ownerExternalId`.' }),
    ownerExternalId: t.string({
      description:
        'For services: external id of the owner. Without an owner, only services manage the chatroom. No meaning for DIRECT.',
    }),
    memberExternalIds: t.stringList({
      description: 'For services: external ids of users to add, together with those of `memberIds`.',
    }),
  }),
});

export const ChatroomPayload = builder.objectRef<{ chatroom: VisibleChatroom }>('ChatroomPayload').implement({
  description: 'Result of a mutation on a chatroom.',
  fields: (t) => ({
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The chatroom after the change.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationField('createChatroom', (t) =>
  t.field({
    type: ChatroomPayload,
    nullable: true,
    extensions: alsoForServices('rooms:write'),
    description:
      'Creates a chatroom. Services need the scope `rooms:write`, and name all members in the input; blocks are not checked for them, and `CONFLICT` says that the `externalId` belongs to another chatroom. For DIRECT, returns the existing chatroom of the two users if there is one. Fails with `BAD_USER_INPUT` for invalid properties, and with `NOT_FOUND` for an unknown user. Fails with `BLOCKED` if there is a block between the viewer and any of the users.',
    args: { input: t.arg({ type: CreateChatroomInput, required: true, description: 'Properties of the chatroom.' }) },
    resolve: async (_, { input: { externalId, ownerId, ownerExternalId, memberExternalIds, ...input } }, context) => {
      const memberIds = input.memberIds.map((id) => keyOf('User', id));
      if (!context.service) {
        const forServices = { externalId, ownerId, ownerExternalId, memberExternalIds };
        const [set] = Object.entries(forServices).filter(([, value]) => value != null);
        if (set) throw onlyServices(set[0]);
        return { chatroom: await createChatroom(context, { ...input, memberIds }) };
      }
      const chatroom = await createExternalChatroom(context, {
        ...input,
        externalId: externalId ?? null,
        owner: {
          ids: ownerId == null ? [] : [keyOf('User', ownerId)],
          externalIds: ownerExternalId == null ? [] : [ownerExternalId],
        },
        members: { ids: memberIds, externalIds: memberExternalIds },
      });
      return { chatroom };
    },
  }),
);

builder.queryField('openChatrooms', (t) =>
  t.field({
    type: ChatroomConnection,
    nullable: true,
    description: 'OPEN chatrooms sorted by name: all of them, or those whose name begins with `search`.',
    args: {
      search: t.arg.string({
        description: 'Beginning of a name, regardless of letter case. At most 100 characters.',
      }),
      ...connectionArgs(t.arg),
    },
    resolve: (_, { search, ...args }, context) => listOpenChatrooms(context, search, args),
  }),
);

export const ChatroomTargetInput = builder.inputType('ChatroomTargetInput', {
  description: 'Input of mutations on a chatroom.',
  fields: (t) => ({ chatroomId: t.id({ required: true, description: 'Id of the chatroom.' }) }),
});

const UpdateChatroomInput = builder.inputType('UpdateChatroomInput', {
  description: 'Changes to a chatroom. An absent field stays unchanged; null clears the field.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Id of the chatroom.' }),
    name: t.string({
      description:
        'New name: 1 to 100 characters on one line, at least one of them visible. The name of an OPEN chatroom cannot be cleared.',
    }),
    topic: t.string({ description: 'New topic: 1 to 500 characters. Line breaks are allowed.' }),
  }),
});

const DeleteChatroomPayload = builder.objectRef<{ chatroomId: string }>('DeleteChatroomPayload').implement({
  description: 'Result of `deleteChatroom`.',
  fields: (t) => ({
    deletedChatroomId: t.exposeID('chatroomId', { description: 'Id of the chatroom that was deleted or hidden.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => ({
  updateChatroom: t.field({
    type: ChatroomPayload,
    nullable: true,
    description:
      'Changes the name or topic of a chatroom. Requires the role OWNER or ADMIN. Fails with `BAD_USER_INPUT` for an invalid value or a DIRECT chatroom. Fails with `NOT_FOUND` if the viewer is not a member, and with `FORBIDDEN` if the viewer is not OWNER or ADMIN.',
    args: { input: t.arg({ type: UpdateChatroomInput, required: true, description: 'Changes to the chatroom.' }) },
    resolve: async (_, { input: { chatroomId, ...change } }, context) => ({
      chatroom: await updateChatroom(context, keyOf('Chatroom', chatroomId), change),
    }),
  }),
  deleteChatroom: t.field({
    type: DeleteChatroomPayload,
    nullable: true,
    description:
      'Deletes a chatroom with all its messages. Requires the role OWNER. A DIRECT chatroom is not deleted. Instead, it is marked as read and hidden from the viewer until its next message; this requires no role. Fails with `NOT_FOUND` if the viewer is not a member, and with `FORBIDDEN` if the viewer is not the OWNER.',
    args: { input: t.arg({ type: ChatroomTargetInput, required: true, description: 'Chatroom to delete.' }) },
    resolve: async (_, { input: { chatroomId } }, context) => {
      await deleteChatroom(context, keyOf('Chatroom', chatroomId));
      return { chatroomId };
    },
  }),
}));
