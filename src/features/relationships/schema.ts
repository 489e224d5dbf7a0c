import { blockStateOf, blockUser, listBlocked, unblockUser } from './blocks.ts';
import { builder, connectionArgs, defineConnection } from '../../graphql/builder.ts';
import type { User as UserRow } from '../../platform/database/generated/client.ts';
import { requireViewer } from '../../core/context.ts';
import { personal } from '../../graphql/personalFields.ts';
import { keyOf } from '../../core/globalIds.ts';
import { PresenceStatus, User, UserConnection, Viewer, viewerField } from '../users/schema.ts';
import { requireUser } from '../users/users.ts';
import {
  acceptFriend,
  addFriend,
  type FriendshipResult,
  declineFriend,
  isFriend,
  listFriends,
  listRequests,
  removeFriend,
  requestKey,
  visibleRequest,
} from './friends.ts';

export const FriendshipStatus = builder.enumType('FriendshipStatus', {
  description: 'State of the relationship between the viewer and another user.',
  values: {
    PENDING: { description: 'One of the two users has sent a friend request, and the other has not answered yet.' },
    ACCEPTED: { description: 'The two users are friends.' },
  } as const,
});

const FriendRequestDirection = builder.enumType('FriendRequestDirection', {
  description: 'Direction of friend requests, as seen by the viewer.',
  values: {
    INCOMING: { description: 'Requests sent to the viewer.' },
    OUTGOING: { description: 'Requests sent by the viewer.' },
  } as const,
});

const FriendRequest = builder.prismaNode('FriendRequest', {
  description: 'A pending friend request. Visible only to its sender and its recipient.',
  id: { resolve: requestKey },
  nullable: true,
  findUnique: (key, context) => visibleRequest(key, requireViewer(context).userId),
  fields: (t) => ({
    from: t.field({
      type: User,
      description: 'User who sent the request.',
      resolve: (request, _args, context) => requireUser(context, request.fromId),
    }),
    to: t.field({
      type: User,
      description: 'User who received the request.',
      resolve: (request, _args, context) => requireUser(context, request.toId),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the request was sent.' }),
  }),
});
const { List: FriendRequestConnection } = defineConnection(FriendRequest, 'FriendRequest');

builder.objectFields(User, (t) => ({
  viewerIsFriend: t.boolean({
    description: 'Whether the user is a friend of the viewer.',
    resolve: (user, _args, context, info) => personal(context, info, (own) => isFriend(own, user.id)),
  }),
  viewerHasBlocked: t.boolean({
    description: 'Whether the viewer has blocked the user. No field shows whether the user has blocked the viewer.',
    resolve: (user, _args, context, info) =>
      personal(context, info, async (own) => (await blockStateOf(own, user.id))?.viewerHasBlocked ?? false),
  }),
}));

builder.objectFields(Viewer, (t) => ({
  friends: t.field({
    type: UserConnection,
    description: 'Friends of the viewer, sorted by username.',
    args: {
      ...connectionArgs(t.arg),
      status: t.arg({
        type: PresenceStatus,
        description: 'Returns only friends with this presence. By default, returns all friends.',
      }),
    },
    resolve: (_, { status, ...args }, context) => listFriends(context, status, args),
  }),
  friendRequests: t.field({
    type: FriendRequestConnection,
    description:
      'Pending friend requests that the viewer has received or sent, depending on `direction`. Newest first.',
    args: {
      direction: t.arg({
        type: FriendRequestDirection,
        required: true,
        defaultValue: 'INCOMING',
        description: 'Whether to return received or sent requests. By default, returns received requests.',
      }),
      ...connectionArgs(t.arg),
    },
    resolve: (_, { direction, ...args }, context) => listRequests(context, direction, args),
  }),
  blockedUsers: t.field({
    type: UserConnection,
    description: 'Users whom the viewer has blocked, sorted by username.',
    args: connectionArgs(t.arg),
    resolve: (_, args, context) => listBlocked(context, args),
  }),
}));

const UserTargetInput = builder.inputType('UserTargetInput', {
  description: 'Input of mutations on another user.',
  fields: (t) => ({ userId: t.id({ required: true, description: 'Id of the other user.' }) }),
});

const FriendshipPayload = builder.objectRef<FriendshipResult>('FriendshipPayload').implement({
  description: 'Result of `addFriend` and `acceptFriend`.',
  fields: (t) => ({
    status: t.expose('status', {
      type: FriendshipStatus,
      description: 'ACCEPTED if the two users are now friends. PENDING if a friend request waits for the other user.',
    }),
    user: t.expose('user', { type: User, description: 'The user on whom the mutation acted.' }),
    viewer: viewerField(t),
  }),
});

const UserPayload = builder.objectRef<{ user: UserRow }>('UserPayload').implement({
  description: 'Result of a mutation on another user.',
  fields: (t) => ({
    user: t.expose('user', { type: User, description: 'The user on whom the mutation acted.' }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => {
  const args = { input: t.arg({ type: UserTargetInput, required: true, description: 'The other user.' }) };
  return {
    addFriend: t.field({
      type: FriendshipPayload,
      nullable: true,
      description:
        'Adds a user as a friend. If the user’s `friendPolicy` is APPROVAL, sends a friend request instead. If the user has already sent a request to the viewer, accepts that request. Adding a friend again changes nothing. Fails with `BAD_USER_INPUT` for the viewer’s own id, with `NOT_FOUND` for an unknown user, and with `BLOCKED` if either user has blocked the other.',
      args,
      resolve: (_, { input }, context) => addFriend(context, keyOf('User', input.userId)),
    }),
    acceptFriend: t.field({
      type: FriendshipPayload,
      nullable: true,
      description:
        'Accepts a friend request from a user. Fails with `NOT_FOUND` if the user has sent no request to the viewer.',
      args,
      resolve: (_, { input }, context) => acceptFriend(context, keyOf('User', input.userId)),
    }),
    declineFriend: t.field({
      type: UserPayload,
      nullable: true,
      description:
        'Declines a friend request from a user, or withdraws the viewer’s request to that user. Fails with `NOT_FOUND` if there is no request between the two.',
      args,
      resolve: async (_, { input }, context) => ({ user: await declineFriend(context, keyOf('User', input.userId)) }),
    }),
    removeFriend: t.field({
      type: UserPayload,
      nullable: true,
      description:
        'Ends a friendship for both users. Changes nothing if the two are not friends. Fails with `NOT_FOUND` for an unknown user.',
      args,
      resolve: async (_, { input }, context) => ({ user: await removeFriend(context, keyOf('User', input.userId)) }),
    }),
    blockUser: t.field({
      type: UserPayload,
      nullable: true,
      description:
        'Blocks a user. Ends the friendship and removes friend requests between the two. The viewer no longer sees the user’s messages in GROUP and OPEN chatrooms. Neither of the two sees the other’s presence, typing or read state. Fails with `BAD_USER_INPUT` for the viewer’s own id, and with `NOT_FOUND` for an unknown user.',
      args,
      resolve: async (_, { input }, context) => ({ user: await blockUser(context, keyOf('User', input.userId)) }),
    }),
    unblockUser: t.field({
      type: UserPayload,
      nullable: true,
      description:
        'Removes the viewer’s block of a user. The user’s messages become visible again, but an ended friendship is not restored. Changes nothing if there is no block. Fails with `NOT_FOUND` for an unknown user.',
      args,
      resolve: async (_, { input }, context) => ({ user: await unblockUser(context, keyOf('User', input.userId)) }),
    }),
  };
});
