import { blockStateOf, blockUser, listBlocked, unblockUser } from '../blocks/blocks.ts';
import { builder, connectionArgs, defineConnection } from '../builder.ts';
import type { FriendRequest as FriendRequestRow, User as UserRow } from '../database/generated/client.ts';
import { keyOf } from '../ids.ts';
import { PresenceStatus } from '../presence/schema.ts';
import { User, UserConnection, Viewer, viewerField } from '../users/schema.ts';
import { requireUser } from '../users/users.ts';
import {
  acceptFriend,
  addFriend,
  type Befriended,
  declineFriend,
  isFriend,
  listFriends,
  listRequests,
  removeFriend,
  requestByKey,
  requestKey,
} from './friends.ts';

export const FriendshipStatus = builder.enumType('FriendshipStatus', {
  description: 'What has become of an addFriend.',
  values: {
    PENDING: { description: 'The other has been asked.' },
    ACCEPTED: { description: 'The two are friends.' },
  } as const,
});

const FriendRequestDirection = builder.enumType('FriendRequestDirection', {
  description: 'Whose requests.',
  values: {
    INCOMING: { description: 'Those to the viewer.' },
    OUTGOING: { description: 'Those by the viewer.' },
  } as const,
});

const FriendRequest = builder.objectRef<FriendRequestRow>('FriendRequest');
builder.node(FriendRequest, {
  description: 'Somebody wants to be somebody’s friend. Only the two see it.',
  id: { resolve: requestKey },
  loadWithoutCache: (key, context) => requestByKey(context, key),
  fields: (t) => ({
    from: t.field({
      type: User,
      description: 'Who asks.',
      resolve: (request, _args, context) => requireUser(context, request.fromId),
    }),
    to: t.field({
      type: User,
      description: 'Who is asked.',
      resolve: (request, _args, context) => requireUser(context, request.toId),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was asked.' }),
  }),
});
const { List: FriendRequestConnection } = defineConnection(FriendRequest, 'FriendRequest');

builder.objectFields(User, (t) => ({
  viewerIsFriend: t.boolean({
    description: 'Whether they are the viewer’s friend.',
    resolve: (user, _args, context) => isFriend(context, user.id),
  }),
  viewerHasBlocked: t.boolean({
    description: 'Whether the viewer has blocked them. Nobody can ask whether they are blocked.',
    resolve: async (user, _args, context) => (await blockStateOf(context, user.id))?.viewerHasBlocked ?? false,
  }),
}));

builder.objectFields(Viewer, (t) => ({
  friends: t.field({
    type: UserConnection,
    description: 'The viewer’s friends, by name.',
    args: {
      ...connectionArgs(t.arg),
      status: t.arg({ type: PresenceStatus, description: 'Only those who are online now, or are not.' }),
    },
    resolve: (_, { status, ...args }, context) => listFriends(context, status, args),
  }),
  friendRequests: t.field({
    type: FriendRequestConnection,
    description: 'Requests that wait for an answer, newest first.',
    args: {
      direction: t.arg({
        type: FriendRequestDirection,
        required: true,
        defaultValue: 'INCOMING',
        description: 'To the viewer, or by them.',
      }),
      ...connectionArgs(t.arg),
    },
    resolve: (_, { direction, ...args }, context) => listRequests(context, direction, args),
  }),
  blockedUsers: t.field({
    type: UserConnection,
    description: 'Whom the viewer has blocked, by name.',
    args: connectionArgs(t.arg),
    resolve: (_, args, context) => listBlocked(context, args),
  }),
}));

const UserTargetInput = builder.inputType('UserTargetInput', {
  description: 'Another user.',
  fields: (t) => ({ userId: t.id({ required: true, description: 'Who.' }) }),
});

const FriendshipPayload = builder.objectRef<Befriended>('FriendshipPayload').implement({
  description: 'What has become of the two.',
  fields: (t) => ({
    status: t.expose('status', { type: FriendshipStatus, description: 'Friends, or asked.' }),
    user: t.expose('user', { type: User, description: 'The other.' }),
    viewer: viewerField(t),
  }),
});

const UserPayload = builder.objectRef<{ user: UserRow }>('UserPayload').implement({
  description: 'It was done.',
  fields: (t) => ({
    user: t.expose('user', { type: User, description: 'The other.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => {
  const args = { input: t.arg({ type: UserTargetInput, required: true, description: 'Who.' }) };
  return {
    addFriend: t.field({
      type: FriendshipPayload,
      nullable: true,
      description:
        'Makes a friend, or asks where the other wants to be asked; whoever has been asked accepts by it. Fails with `BAD_USER_INPUT`, `NOT_FOUND` or `BLOCKED`.',
      args,
      resolve: (_, { input }, context) => addFriend(context, keyOf('User', input.userId)),
    }),
    acceptFriend: t.field({
      type: FriendshipPayload,
      nullable: true,
      description: 'Accepts a request. Fails with `NOT_FOUND` where there is none.',
      args,
      resolve: (_, { input }, context) => acceptFriend(context, keyOf('User', input.userId)),
    }),
    declineFriend: t.field({
      type: UserPayload,
      nullable: true,
      description: 'Declines a request, or takes one’s own back. Fails with `NOT_FOUND` where there is none.',
      args,
      resolve: async (_, { input }, context) => ({ user: await declineFriend(context, keyOf('User', input.userId)) }),
    }),
    removeFriend: t.field({
      type: UserPayload,
      nullable: true,
      description: 'Ends a friendship, for both. Fails with `NOT_FOUND` for nobody.',
      args,
      resolve: async (_, { input }, context) => ({ user: await removeFriend(context, keyOf('User', input.userId)) }),
    }),
    blockUser: t.field({
      type: UserPayload,
      nullable: true,
      description: 'Blocks a user; the friendship ends. Fails with `BAD_USER_INPUT` or `NOT_FOUND`.',
      args,
      resolve: async (_, { input }, context) => ({ user: await blockUser(context, keyOf('User', input.userId)) }),
    }),
    unblockUser: t.field({
      type: UserPayload,
      nullable: true,
      description: 'Takes a block back: sight returns, friendship does not. Fails with `NOT_FOUND` for nobody.',
      args,
      resolve: async (_, { input }, context) => ({ user: await unblockUser(context, keyOf('User', input.userId)) }),
    }),
  };
});
