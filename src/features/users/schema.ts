import type { ObjectFieldBuilder } from '@pothos/core';
import { shownExternalId } from '../../auth/admins.ts';
import { builder, connectionArgs, defineConnection, type Types } from '../../graphql/builder.ts';
import { requireViewer } from '../../core/context.ts';
import { FriendPolicy as friendPolicies } from '../../platform/database/generated/enums.ts';
import { findUserByName, listSessions, listUsers, requireUser, updateProfile } from './users.ts';

export const PresenceStatus = builder.enumType('PresenceStatus', {
  description: 'Presence of a user.',
  values: {
    ONLINE: { description: 'At least one of the user’s devices has an open WebSocket.' },
    OFFLINE: { description: 'None of the user’s devices has an open WebSocket.' },
  } as const,
});

export const User = builder.prismaNode('User', {
  description: 'A user account. Visible to every signed-in user.',
  id: { field: 'id' },
  nullable: true,
  // Every signed-in user may see every user.
  findUnique(id, context) {
    requireViewer(context);
    return { id };
  },
  fields: (t) => ({
    username: t.exposeString('username', {
      description: 'Name used to sign in. Unique regardless of letter case.',
    }),
    nickname: t.exposeString('nickname', {
      description: 'Display name. By default the same as the username.',
    }),
    bio: t.exposeString('bio', {
      nullable: true,
      description: 'Text that the user has written about themselves. Null if there is none.',
    }),
    isBot: t.exposeBoolean('isBot', { description: 'Whether the account is operated by a program.' }),
    externalId: t.string({
      nullable: true,
      description:
        'Id of the user in the application that created the user through a service. Null for everybody but services and admins.',
      resolve: ({ externalId }, _args, context) => shownExternalId(context, externalId),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the account was created.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'Time of the last change to the profile.' }),
  }),
});

export const { List: UserConnection } = defineConnection(User, 'User');

const FriendPolicy = builder.enumType('FriendPolicy', {
  description: 'Rule for adding a user as a friend.',
  values: {
    OPEN: { value: friendPolicies.OPEN, description: '`addFriend` makes the two users friends at once.' },
    APPROVAL: {
      value: friendPolicies.APPROVAL,
      description: '`addFriend` creates a request, which the user accepts or declines.',
    },
  },
});

export const Session = builder.prismaNode('Session', {
  description: 'A sign-in of a user on one device. Ended sessions remain listed for 90 days.',
  id: { field: 'id' },
  nullable: true,
  findUnique: (id, context) => ({ id, userId: requireViewer(context).userId }),
  fields: (t) => ({
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time of the sign-in.' }),
    lastSeenAt: t.expose('lastSeenAt', {
      type: 'DateTime',
      description: 'Time at which the tokens of the session were last refreshed.',
    }),
    endedAt: t.expose('endedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Time at which the session ended. Null while the session is active.',
    }),
    userAgent: t.exposeString('userAgent', {
      nullable: true,
      description: '`User-Agent` header sent at sign-in, at most 300 characters. Null if there was none.',
    }),
    ipAddress: t.exposeString('ipAddress', {
      nullable: true,
      description: 'IP address from which the device signed in. Null if unknown.',
    }),
    current: t.boolean({
      description: 'Whether the current request belongs to this session.',
      resolve: (session, _args, context) => session.id === context.viewer?.sessionId,
    }),
  }),
});
const { List: SessionConnection } = defineConnection(Session, 'Session');

/** The signed-in user. Other features add fields to this type. */
export const Viewer = builder.objectRef<{ userId: string }>('Viewer');
builder.node(Viewer, {
  description: 'Private data of the signed-in user. Visible to that user only.',
  id: { resolve: (viewer) => viewer.userId },
  loadWithoutCache: (id, context) => (context.viewer?.userId === id ? context.viewer : null),
  fields: (t) => ({
    user: t.field({
      type: User,
      description: 'Public profile of the viewer.',
      resolve: (viewer, _args, context) => requireUser(context, viewer.userId),
    }),
    email: t.string({
      nullable: true,
      description:
        'E-mail address that was set last. Until this address is verified, the previous verified address stays valid for signing in and password resets. Null if the account has no address.',
      resolve: async (viewer, _args, context) => {
        const { email, pendingEmail } = await requireUser(context, viewer.userId);
        return pendingEmail ?? email;
      },
    }),
    emailVerified: t.boolean({
      description: 'Whether the viewer has verified the address in `email`.',
      resolve: async (viewer, _args, context) => {
        const { emailVerifiedAt, pendingEmail } = await requireUser(context, viewer.userId);
        return emailVerifiedAt !== null && pendingEmail === null;
      },
    }),
    friendPolicy: t.field({
      type: FriendPolicy,
      description: 'Rule for adding the viewer as a friend.',
      resolve: async (viewer, _args, context) => (await requireUser(context, viewer.userId)).friendPolicy,
    }),
    sessions: t.field({
      type: SessionConnection,
      description: 'Sessions of the viewer, newest first, including ended ones.',
      args: connectionArgs(t.arg),
      resolve: (viewer, args, context) => listSessions(context, viewer.userId, args),
    }),
  }),
});

builder.queryFields((t) => ({
  viewer: t.field({
    type: Viewer,
    nullable: true,
    description:
      'The signed-in user. Null if the request has no access token. Fails with `UNAUTHENTICATED` for an invalid access token, and with `TOKEN_EXPIRED` for an expired one.',
    resolve: (_, _args, context) => {
      if (context.authError) throw context.authError;
      return context.viewer;
    },
  }),
  user: t.field({
    type: User,
    nullable: true,
    description: 'A user by username. Null if no user has this name.',
    args: {
      username: t.arg.string({ required: true, description: 'Username to look up, regardless of letter case.' }),
    },
    resolve: (_, { username }, context) => {
      requireViewer(context);
      return findUserByName(context, username);
    },
  }),
  users: t.field({
    type: UserConnection,
    nullable: true,
    description: 'Users sorted by username: all of them, or those whose username or nickname begins with `search`.',
    args: {
      search: t.arg.string({
        description: 'Beginning of a username or nickname, regardless of letter case. At most 100 characters.',
      }),
      ...connectionArgs(t.arg),
    },
    resolve: (_, { search, ...args }, context) => {
      requireViewer(context);
      return listUsers(context, search, args);
    },
  }),
}));

/** Adds the `viewer` field to the payload of a mutation or event. The viewer is read after the change. */
export function viewerField<Payload extends object>(t: ObjectFieldBuilder<Types, Payload>) {
  return t.field({
    type: Viewer,
    description: 'The viewer, with current data.',
    resolve: (_, _args, context) => requireViewer(context),
  });
}

const UpdateProfileInput = builder.inputType('UpdateProfileInput', {
  description: 'Changes to the profile. An absent field stays unchanged; null clears the field.',
  fields: (t) => ({
    nickname: t.string({
      description:
        'Display name: 1 to 64 characters on one line, at least one of them visible. Null resets the nickname to the username.',
    }),
    bio: t.string({
      description:
        'Text about the user, at most 500 characters. Line breaks are allowed. Unicode direction overrides are not allowed.',
    }),
    email: t.string({
      description:
        'E-mail address for signing in. The server mails a token to a new address. Pass the token to `verifyEmail` to verify the address. Changing or clearing the address requires `currentPassword` or `idToken`. At most 5 changes per hour.',
    }),
    currentPassword: t.string({
      description: 'Current password. Required to change or clear the e-mail address, unless `idToken` is given.',
    }),
    idToken: t.string({
      description:
        'ID token of the configured OpenID provider, as an alternative to `currentPassword`. The token must be at most 5 minutes old and belong to an identity that is linked to the account.',
    }),
    friendPolicy: t.field({
      type: FriendPolicy,
      description: 'Rule for adding the viewer as a friend. Null resets the rule to OPEN.',
    }),
  }),
});

const ViewerPayload = builder.objectRef<object>('ViewerPayload').implement({
  description: 'Result of a mutation that changes the viewer.',
  fields: (t) => ({
    viewer: viewerField(t),
  }),
});

builder.mutationField('updateProfile', (t) =>
  t.field({
    type: ViewerPayload,
    nullable: true,
    description:
      'Changes the viewer’s profile. If a verified e-mail address is replaced or cleared, the server mails that address a link to undo the change. Fails with `BAD_USER_INPUT` for an invalid value, and with `INVALID_CREDENTIALS` for a wrong password or ID token.',
    args: { input: t.arg({ type: UpdateProfileInput, required: true, description: 'Changes to the profile.' }) },
    resolve: async (_, { input }, context) => {
      await updateProfile(context, input);
      return {};
    },
  }),
);
