import type { InputFieldBuilder } from '@pothos/core';
import { badInput } from '../../core/errors.ts';
import type { Context } from '../../core/context.ts';
import { builder, type Types } from '../../graphql/builder.ts';
import { alsoForServices } from '../../graphql/schemaPlugin.ts';
import { chatroomKeyOf } from './externalChatrooms.ts';
import { onlyServices, userKeysOf } from '../users/externalIds.ts';
import { ChatroomPayload, ChatroomTargetInput, MemberRole } from './schema.ts';
import { keyOf } from '../../core/globalIds.ts';
import { viewerField } from '../users/schema.ts';
import { addChatroomMembers, joinChatroom, leaveChatroom, removeChatroomMember, setMemberRole } from './members.ts';

const LeaveChatroomPayload = builder.objectRef<{ chatroomId: string }>('LeaveChatroomPayload').implement({
  description: 'Result of `leaveChatroom`.',
  fields: (t) => ({
    chatroomId: t.exposeID('chatroomId', { description: 'Id of the chatroom that the viewer has left.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => {
  const args = {
    input: t.arg({ type: ChatroomTargetInput, required: true, description: 'The chatroom.' }),
  };
  return {
    joinChatroom: t.field({
      type: ChatroomPayload,
      nullable: true,
      description:
        'Makes the viewer a member of an OPEN chatroom. Joining again changes nothing. Fails with `NOT_FOUND` for any other chatroom.',
      args,
      resolve: async (_, { input }, context) => ({
        chatroom: await joinChatroom(context, keyOf('Chatroom', input.chatroomId)),
      }),
    }),
    leaveChatroom: t.field({
      type: LeaveChatroomPayload,
      nullable: true,
      description:
        'Ends the viewer’s membership. If the owner leaves, the longest-standing admin becomes owner, or else the longest-standing member. If the last member leaves, the chatroom is deleted. Fails with `NOT_FOUND` if the viewer is not a member, and with `BAD_USER_INPUT` for a DIRECT chatroom.',
      args,
      resolve: async (_, { input }, context) => {
        await leaveChatroom(context, keyOf('Chatroom', input.chatroomId));
        return { chatroomId: input.chatroomId };
      },
    }),
  };
});

/** Fields of an input that name a chatroom. Services may name it by its external id. */
function roomFields(t: InputFieldBuilder<Types, 'InputObject'>) {
  return {
    chatroomId: t.id({
      description: 'Id of the chatroom. Required, except for services that set `chatroomExternalId`.',
    }),
    chatroomExternalId: t.string({ description: 'For services: external id of the chatroom.' }),
  };
}

interface RoomInput {
  chatroomId?: string | null | undefined;
  chatroomExternalId?: string | null | undefined;
}

function roomKey(context: Context, { chatroomId, chatroomExternalId }: RoomInput): Promise<string | null> {
  const id = chatroomId == null ? undefined : keyOf('Chatroom', chatroomId);
  return chatroomKeyOf(context, { id, externalId: chatroomExternalId });
}

const ChatroomMembersInput = builder.inputType('ChatroomMembersInput', {
  description: 'Input of `addChatroomMembers`.',
  fields: (t) => ({
    ...roomFields(t),
    userIds: t.idList({
      required: true,
      defaultValue: [],
      description: 'Ids of 1 to 100 users. If any of them cannot be added, none is added.',
    }),
    externalIds: t.stringList({
      description: 'For services: external ids of users to add, together with those of `userIds`.',
    }),
  }),
});

const RemoveChatroomMemberInput = builder.inputType('RemoveChatroomMemberInput', {
  description: 'Input of `removeChatroomMember`.',
  fields: (t) => ({
    ...roomFields(t),
    userId: t.id({ description: 'Id of the user to remove. Required, except for services that set `externalId`.' }),
    externalId: t.string({ description: 'For services: external id of the user to remove.' }),
  }),
});

/** Returns the keys of the users to add; null for an id that names no user. */
async function memberKeys(
  context: Context,
  userIds: readonly string[],
  externalIds: readonly string[] | null | undefined,
): Promise<(string | null)[]> {
  const keys = userIds.map((id) => keyOf('User', id));
  if (externalIds == null) return keys;
  if (!context.service) throw onlyServices('externalIds');
  return [...keys, ...(await userKeysOf(context, { externalIds }, 'externalIds'))];
}

/** Returns the key of the user to remove; null for an id that names no user. */
async function memberKey(
  context: Context,
  { userId, externalId }: { userId?: string | null | undefined; externalId?: string | null | undefined },
): Promise<string | null> {
  if (externalId != null && !context.service) throw onlyServices('externalId');
  if ((userId == null) === (externalId == null))
    throw badInput('input.userId', context.service ? 'Set either userId or externalId.' : 'Set userId.');
  if (userId != null) return keyOf('User', userId);
  const [key = null] = await userKeysOf(context, { externalIds: [externalId ?? ''] }, 'externalId');
  return key;
}

const SetMemberRoleInput = builder.inputType('SetMemberRoleInput', {
  description: 'Input of `setMemberRole`.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Id of the chatroom.' }),
    userId: t.id({ required: true, description: 'Id of the member whose role changes.' }),
    role: t.field({
      type: MemberRole,
      required: true,
      description: 'New role. OWNER transfers the chatroom to the member.',
    }),
  }),
});

builder.mutationFields((t) => ({
  addChatroomMembers: t.field({
    type: ChatroomPayload,
    nullable: true,
    extensions: alsoForServices('rooms:write'),
    description:
      'Adds users to a chatroom: either all of them or none. Nothing changes for users who are already members. Requires the role OWNER or ADMIN, or a service token with the scope `rooms:write`; blocks are not checked for services. Fails with `BAD_USER_INPUT` for a wrong number of users or a DIRECT chatroom. Fails with `NOT_FOUND` if the viewer is not a member or any of the users does not exist. Fails with `FORBIDDEN` if the viewer is not OWNER or ADMIN. Fails with `BLOCKED` if there is a block between the viewer and any of the users.',
    args: { input: t.arg({ type: ChatroomMembersInput, required: true, description: 'Chatroom and users to add.' }) },
    resolve: async (_, { input }, context) => ({
      chatroom: await addChatroomMembers(
        context,
        await roomKey(context, input),
        await memberKeys(context, input.userIds, input.externalIds),
      ),
    }),
  }),
  removeChatroomMember: t.field({
    type: ChatroomPayload,
    nullable: true,
    extensions: alsoForServices('rooms:write'),
    description:
      'Removes a member from a chatroom and ends their subscriptions to the chatroom. Admins can remove members with the role MEMBER; the owner can also remove admins. A service token with the scope `rooms:write` can remove every member; if the owner is removed, another member becomes the owner, and the chatroom is deleted with its last member. Fails with `BAD_USER_INPUT` for the viewer’s own id or a DIRECT chatroom. Fails with `NOT_FOUND` if the viewer or the user is not a member, and with `FORBIDDEN` if the viewer’s role does not suffice.',
    args: {
      input: t.arg({ type: RemoveChatroomMemberInput, required: true, description: 'Chatroom and member to remove.' }),
    },
    resolve: async (_, { input }, context) => ({
      chatroom: await removeChatroomMember(context, await roomKey(context, input), await memberKey(context, input)),
    }),
  }),
  setMemberRole: t.field({
    type: ChatroomPayload,
    nullable: true,
    description:
      'Changes the role of a member. Requires the role OWNER. If the new role is OWNER, the member becomes the owner, and the viewer becomes an ADMIN. Fails with `BAD_USER_INPUT` for the viewer’s own id or a DIRECT chatroom. Fails with `NOT_FOUND` if the viewer or the user is not a member, and with `FORBIDDEN` if the viewer is not the OWNER.',
    args: { input: t.arg({ type: SetMemberRoleInput, required: true, description: 'Member and new role.' }) },
    resolve: async (_, { input }, context) => ({
      chatroom: await setMemberRole(
        context,
        keyOf('Chatroom', input.chatroomId),
        keyOf('User', input.userId),
        input.role,
      ),
    }),
  }),
}));
