import { builder } from '../builder.ts';
import { ChatroomPayload, ChatroomTargetInput, MemberRole } from '../chatrooms/schema.ts';
import { keyOf } from '../ids.ts';
import { viewerField } from '../users/schema.ts';
import { addChatroomMembers, joinChatroom, leaveChatroom, removeChatroomMember, setMemberRole } from './members.ts';

const LeaveChatroomPayload = builder.objectRef<{ chatroomId: string }>('LeaveChatroomPayload').implement({
  description: 'The chatroom that was left.',
  fields: (t) => ({
    chatroomId: t.exposeID('chatroomId', { description: 'Its id.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => {
  const args = { input: t.arg({ type: ChatroomTargetInput, required: true, description: 'The chatroom.' }) };
  return {
    joinChatroom: t.field({
      type: ChatroomPayload,
      nullable: true,
      description: 'Makes the viewer a member of an OPEN chatroom. Fails with `NOT_FOUND` for any other.',
      args,
      resolve: async (_, { input }, context) => ({
        chatroom: await joinChatroom(context, keyOf('Chatroom', input.chatroomId)),
      }),
    }),
    leaveChatroom: t.field({
      type: LeaveChatroomPayload,
      nullable: true,
      description:
        'Ends the viewer’s membership. The owner hands the room on; the last to leave ends it. Fails with `NOT_FOUND`, or `BAD_USER_INPUT` for a DIRECT one.',
      args,
      resolve: async (_, { input }, context) => {
        await leaveChatroom(context, keyOf('Chatroom', input.chatroomId));
        return { chatroomId: input.chatroomId };
      },
    }),
  };
});

const ChatroomMembersInput = builder.inputType('ChatroomMembersInput', {
  description: 'Users and a chatroom.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Which.' }),
    userIds: t.idList({ required: true, description: '1 to 100 users, all or none.' }),
  }),
});

const RemoveChatroomMemberInput = builder.inputType('RemoveChatroomMemberInput', {
  description: 'A member and their chatroom.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Which.' }),
    userId: t.id({ required: true, description: 'Who.' }),
  }),
});

const SetMemberRoleInput = builder.inputType('SetMemberRoleInput', {
  description: 'A member and what they may do.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Which.' }),
    userId: t.id({ required: true, description: 'Who.' }),
    role: t.field({
      type: MemberRole,
      required: true,
      description: 'What they may do; OWNER hands the chatroom over.',
    }),
  }),
});

builder.mutationFields((t) => ({
  addChatroomMembers: t.field({
    type: ChatroomPayload,
    nullable: true,
    description:
      'Adds users to a chatroom, all or none, for its owner and admins. Fails with `BAD_USER_INPUT`, `NOT_FOUND` for the chatroom or any of them, `FORBIDDEN`, or `BLOCKED` across a block.',
    args: { input: t.arg({ type: ChatroomMembersInput, required: true, description: 'Whom to add.' }) },
    resolve: async (_, { input }, context) => ({
      chatroom: await addChatroomMembers(
        context,
        keyOf('Chatroom', input.chatroomId),
        input.userIds.map((id) => keyOf('User', id)),
      ),
    }),
  }),
  removeChatroomMember: t.field({
    type: ChatroomPayload,
    nullable: true,
    description:
      'Removes a member, and ends their streams of the chatroom. Admins remove members, the owner admins too. Fails with `BAD_USER_INPUT`, `NOT_FOUND` or `FORBIDDEN`.',
    args: { input: t.arg({ type: RemoveChatroomMemberInput, required: true, description: 'Whom to remove.' }) },
    resolve: async (_, { input }, context) => ({
      chatroom: await removeChatroomMember(context, keyOf('Chatroom', input.chatroomId), keyOf('User', input.userId)),
    }),
  }),
  setMemberRole: t.field({
    type: ChatroomPayload,
    nullable: true,
    description:
      'Gives a member another role, for the owner, who stays as an admin after handing the chatroom over. Fails with `BAD_USER_INPUT`, `NOT_FOUND` or `FORBIDDEN`.',
    args: { input: t.arg({ type: SetMemberRoleInput, required: true, description: 'Who, and which role.' }) },
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
