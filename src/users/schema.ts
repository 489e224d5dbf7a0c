import type { ObjectFieldBuilder } from '@pothos/core';
import { builder, connectionArgs, defineConnection, type Types } from '../builder.ts';
import { requireViewer } from '../context.ts';
import type { Session as SessionRow, User as UserRow } from '../database/generated/client.ts';
import { FriendPolicy as friendPolicies } from '../database/generated/enums.ts';
import { findUserByName, listSessions, listUsers, requireUser, sessionById, updateProfile, userById } from './users.ts';

export const User = builder.objectRef<UserRow>('User');
builder.node(User, {
  description: 'An account, as everyone who is signed in may see it.',
  id: { resolve: (user) => user.id },
  loadWithoutCache: (id, context) => userById(context, id),
  fields: (t) => ({
    username: t.exposeString('username', {
      description: 'Unique without regard to letter case; what one signs in with.',
    }),
    nickname: t.exposeString('nickname', { description: 'What to show; the username unless the user chose another.' }),
    bio: t.exposeString('bio', { nullable: true, description: 'What the user says of themself.' }),
    isBot: t.exposeBoolean('isBot', { description: 'Whether a program speaks here.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When the account was made.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When the profile last changed.' }),
  }),
});

export const { List: UserConnection } = defineConnection(User, 'User');

const FriendPolicy = builder.enumType('FriendPolicy', {
  description: 'What it takes to become a user’s friend.',
  values: {
    OPEN: { value: friendPolicies.OPEN, description: '`addFriend` makes both friends at once.' },
    APPROVAL: {
      value: friendPolicies.APPROVAL,
      description: '`addFriend` makes a request, which the user accepts or declines.',
    },
  },
});

const Session = builder.objectRef<SessionRow>('Session');
builder.node(Session, {
  description: 'A signed-in device of the viewer, or one that was.',
  id: { resolve: (session) => session.id },
  loadWithoutCache: (id, context) => sessionById(context, id),
  fields: (t) => ({
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it signed in.' }),
    lastSeenAt: t.expose('lastSeenAt', { type: 'DateTime', description: 'When its tokens were last refreshed.' }),
    endedAt: t.expose('endedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it ended; null while it lives.',
    }),
    userAgent: t.exposeString('userAgent', { nullable: true, description: 'What the device called itself.' }),
    ipAddress: t.exposeString('ipAddress', { nullable: true, description: 'Where it signed in from.' }),
    current: t.boolean({
      description: 'Whether it is the session that asks.',
      resolve: (session, _args, context) => session.id === context.viewer?.sessionId,
    }),
  }),
});
const { List: SessionConnection } = defineConnection(Session, 'Session');

/** The signed-in user; other features add fields to it. */
export const Viewer = builder.objectRef<{ userId: string }>('Viewer');
builder.node(Viewer, {
  description: 'The signed-in user: what only they may see.',
  id: { resolve: (viewer) => viewer.userId },
  loadWithoutCache: (id, context) => (context.viewer?.userId === id ? context.viewer : null),
  fields: (t) => ({
    user: t.field({
      type: User,
      description: 'The viewer as others see them.',
      resolve: (viewer, _args, context) => requireUser(context, viewer.userId),
    }),
    email: t.string({
      nullable: true,
      description:
        'The address that was set last. Until it is verified, a verified address that it replaces stays in use for signing in and password resets.',
      resolve: async (viewer, _args, context) => {
        const { email, pendingEmail } = await requireUser(context, viewer.userId);
        return pendingEmail ?? email;
      },
    }),
    emailVerified: t.boolean({
      description: 'Whether the address has been shown to be the viewer’s.',
      resolve: async (viewer, _args, context) => {
        const { emailVerifiedAt, pendingEmail } = await requireUser(context, viewer.userId);
        return emailVerifiedAt !== null && pendingEmail === null;
      },
    }),
    friendPolicy: t.field({
      type: FriendPolicy,
      description: 'What it takes to become the viewer’s friend.',
      resolve: async (viewer, _args, context) => (await requireUser(context, viewer.userId)).friendPolicy,
    }),
    sessions: t.field({
      type: SessionConnection,
      description: 'The viewer’s devices, newest first, those that have ended too.',
      args: connectionArgs(t.arg),
      resolve: (viewer, args, context) => listSessions(context, viewer.userId, args),
    }),
  }),
});

builder.queryFields((t) => ({
  viewer: t.field({
    type: Viewer,
    nullable: true,
    description: 'The signed-in user; null when no token is sent. A token that does not count is an error.',
    resolve: (_, _args, context) => {
      if (context.rejected) throw context.rejected;
      return context.viewer;
    },
  }),
  user: t.field({
    type: User,
    nullable: true,
    description: 'A user by name; null where nobody has it.',
    args: { username: t.arg.string({ required: true, description: 'Without regard to letter case.' }) },
    resolve: (_, { username }, context) => {
      requireViewer(context);
      return findUserByName(context, username);
    },
  }),
  users: t.field({
    type: UserConnection,
    nullable: true,
    description: 'All users by name, or those whose username or nickname begins with `search`.',
    args: {
      search: t.arg.string({ description: 'How a username or nickname begins, without regard to letter case.' }),
      ...connectionArgs(t.arg),
    },
    resolve: (_, { search, ...args }, context) => {
      requireViewer(context);
      return listUsers(context, search, args);
    },
  }),
}));

/** The viewer as they are after a mutation, or at an event. */
export function viewerField<Payload extends object>(t: ObjectFieldBuilder<Types, Payload>) {
  return t.field({
    type: Viewer,
    description: 'The viewer as they are now.',
    resolve: (_, _args, context) => requireViewer(context),
  });
}

const UpdateProfileInput = builder.inputType('UpdateProfileInput', {
  description: 'What to change: an absent field stays, null clears it.',
  fields: (t) => ({
    nickname: t.string({
      description: '1 to 64 characters in one line, at least one of them visible; null for the username.',
    }),
    bio: t.string({ description: 'At most 500 characters. Line breaks are allowed, direction overrides are not.' }),
    email: t.string({
      description:
        'An address to sign in by. A new one is unverified until the token of the mail sent to it is used; changing or clearing it takes `currentPassword` or `idToken`. At most 5 changes an hour.',
    }),
    currentPassword: t.string({ description: 'The current password, to change the e-mail address.' }),
    idToken: t.string({
      description:
        'Instead of the password, to change the e-mail address: an ID token of the configured OpenID provider, at most 5 minutes old.',
    }),
    friendPolicy: t.field({ type: FriendPolicy, description: 'What it takes to become a friend; null for OPEN.' }),
  }),
});

const ViewerPayload = builder.objectRef<object>('ViewerPayload').implement({
  description: 'The viewer as they are now.',
  fields: (t) => ({
    viewer: viewerField(t),
  }),
});

builder.mutationField('updateProfile', (t) =>
  t.field({
    type: ViewerPayload,
    nullable: true,
    description:
      'Changes the viewer’s profile. A verified address that is replaced is sent a link that undoes the change. Fails with `BAD_USER_INPUT`, or `INVALID_CREDENTIALS` for a wrong password.',
    args: { input: t.arg({ type: UpdateProfileInput, required: true, description: 'What to change.' }) },
    resolve: async (_, { input }, context) => {
      await updateProfile(context, input);
      return {};
    },
  }),
);
