import { builder } from '../../graphql/builder.ts';
import { encodeId } from '../../core/globalIds.ts';
import { forServicesOnly } from '../../graphql/schemaPlugin.ts';
import type { User as UserRow } from '../../platform/database/generated/client.ts';
import { User } from '../users/schema.ts';
import { findExternalUser } from '../users/externalIds.ts';
import { requireUser } from '../users/users.ts';
import { deactivateUser, deleteExternalUser, reactivateUser } from './userChanges.ts';
import { MAX_USERS, upsertUsers } from './externalUsers.ts';
import { createAccessToken, revokeAccessTokens, TOKEN_SECONDS, type UserToken } from './userTokens.ts';

const ExternalUserInput = builder.inputType('ExternalUserInput', {
  description:
    'A user of the application that the service belongs to. An absent field and null leave a value of an existing user unchanged.',
  fields: (t) => ({
    externalId: t.string({
      required: true,
      description: 'Id of the user in the application, 1 to 255 characters. Never changes.',
    }),
    username: t.string({
      description:
        'Unique name. Characters that a username cannot have are left out. By default, and if no valid name is left, a new user gets a username that is derived from the nickname.',
    }),
    nickname: t.string({
      description:
        'Display name of 1 to 64 characters on one line, at least one of them visible. The default for a new user is the username.',
    }),
    avatarUrl: t.string({
      description:
        'URL of a picture. The server downloads the picture some time after the mutation, from public addresses only. A picture that cannot be downloaded changes nothing.',
    }),
  }),
});

const UpsertUsersInput = builder.inputType('UpsertUsersInput', {
  description: 'Input of `upsertUsers`.',
  fields: (t) => ({
    users: t.field({
      type: [ExternalUserInput],
      required: true,
      description: `At most ${MAX_USERS} users, each once.`,
    }),
  }),
});

const UpsertUsersPayload = builder.objectRef<{ users: UserRow[] }>('UpsertUsersPayload').implement({
  description: 'Result of `upsertUsers`.',
  fields: (t) => ({
    users: t.expose('users', { type: [User], description: 'The users, in the order of the input.' }),
  }),
});

const ExternalUserTargetInput = builder.inputType('ExternalUserTargetInput', {
  description: 'Input of mutations on a user of the application that a service belongs to.',
  fields: (t) => ({
    externalId: t.string({ required: true, description: 'Id of the user in the application.' }),
  }),
});

const CreateAccessTokenInput = builder.inputType('CreateAccessTokenInput', {
  description: 'Input of `createAccessToken`.',
  fields: (t) => ({
    externalId: t.string({ required: true, description: 'Id of the user in the application.' }),
    lifetimeSeconds: t.int({
      required: true,
      defaultValue: TOKEN_SECONDS.default,
      description: `Lifetime of the token: ${TOKEN_SECONDS.min} to ${TOKEN_SECONDS.max} seconds.`,
    }),
  }),
});

const CreateAccessTokenPayload = builder.objectRef<UserToken>('CreateAccessTokenPayload').implement({
  description: 'Result of `createAccessToken`.',
  fields: (t) => ({
    accessToken: t.exposeString('accessToken', {
      description: 'Access token of the user. Pass it to the client of the user, which uses it like that of a sign-in.',
    }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      description: 'Time at which the token expires. Its session ends then. Create the next token before.',
    }),
  }),
});

const ExternalUserPayload = builder.objectRef<{ userId: string }>('ExternalUserPayload').implement({
  description: 'Result of a mutation on a user of the application that a service belongs to.',
  fields: (t) => ({
    user: t.field({
      type: User,
      description: 'The user after the change.',
      resolve: ({ userId }, _args, context) => requireUser(context, userId),
    }),
  }),
});

const DeleteUserPayload = builder.objectRef<{ userId: string }>('DeleteUserPayload').implement({
  description: 'Result of `deleteUser`.',
  fields: (t) => ({
    deletedUserId: t.id({
      description: 'Id of the user who was deleted.',
      resolve: ({ userId }) => encodeId('User', userId),
    }),
  }),
});

builder.queryField('userByExternalId', (t) =>
  t.field({
    extensions: forServicesOnly('users:write', 'users:token', 'rooms:write', 'messages:write', 'messages:read'),
    type: User,
    nullable: true,
    description:
      'A user by the id that the application of a service has given to them. Null if there is none. Requires a service token with one of the scopes `users:write`, `users:token`, `rooms:write`, `messages:write` and `messages:read`.',
    args: { externalId: t.arg.string({ required: true, description: 'Id of the user in the application.' }) },
    resolve: (_, { externalId }, context) => findExternalUser(context, externalId),
  }),
);

builder.mutationFields((t) => ({
  upsertUsers: t.field({
    extensions: forServicesOnly('users:write'),
    type: UpsertUsersPayload,
    nullable: true,
    description: `Creates or changes users by their external ids: all of them or none. A repeated call changes nothing. The users have no password. Requires a service token with the scope \`users:write\`. Fails with \`BAD_USER_INPUT\` for more than ${MAX_USERS} users and for an invalid value, and with \`USERNAME_TAKEN\` for a username of another user. The \`path\` of the error names the user.`,
    args: { input: t.arg({ type: UpsertUsersInput, required: true, description: 'The users.' }) },
    resolve: async (_, { input }, context) => ({ users: await upsertUsers(context, input.users) }),
  }),
  createAccessToken: t.field({
    extensions: forServicesOnly('users:token'),
    type: CreateAccessTokenPayload,
    nullable: true,
    description:
      'Creates an access token of a user, without a password and without a refresh token. The token has a session of its own. Requires a service token with the scope `users:token`. Fails with `NOT_FOUND` if no user has the external id, with `FORBIDDEN` if the user is deactivated or an admin, and with `BAD_USER_INPUT` for an invalid lifetime.',
    args: { input: t.arg({ type: CreateAccessTokenInput, required: true, description: 'User of the token.' }) },
    resolve: (_, { input }, context) => createAccessToken(context, input.externalId, input.lifetimeSeconds),
  }),
  revokeAccessTokens: t.field({
    extensions: forServicesOnly('users:token'),
    type: ExternalUserPayload,
    nullable: true,
    description:
      'Ends all sessions of a user, with their sockets and subscriptions. Also refuses tokens of `JWT_ISSUER` that were issued until now. The user can get new tokens. Requires a service token with the scope `users:token`. Fails with `NOT_FOUND` if no user has the external id.',
    args: { input: t.arg({ type: ExternalUserTargetInput, required: true, description: 'The user.' }) },
    resolve: async (_, { input }, context) => ({ userId: await revokeAccessTokens(context, input.externalId) }),
  }),
  deactivateUser: t.field({
    extensions: forServicesOnly('users:write'),
    type: ExternalUserPayload,
    nullable: true,
    description:
      'Suspends a user: all sessions end, and no token of the user is accepted until `reactivateUser`. Messages and memberships stay. Requires a service token with the scope `users:write`. Fails with `NOT_FOUND` if no user has the external id.',
    args: { input: t.arg({ type: ExternalUserTargetInput, required: true, description: 'The user.' }) },
    resolve: async (_, { input }, context) => ({ userId: await deactivateUser(context, input.externalId) }),
  }),
  reactivateUser: t.field({
    extensions: forServicesOnly('users:write'),
    type: ExternalUserPayload,
    nullable: true,
    description:
      'Ends what `deactivateUser` began. The user needs a new token. Requires a service token with the scope `users:write`. Fails with `NOT_FOUND` if no user has the external id.',
    args: { input: t.arg({ type: ExternalUserTargetInput, required: true, description: 'The user.' }) },
    resolve: async (_, { input }, context) => ({ userId: await reactivateUser(context, input.externalId) }),
  }),
  deleteUser: t.field({
    extensions: forServicesOnly('users:write'),
    type: DeleteUserPayload,
    nullable: true,
    description:
      'Deletes the account of a user, like `deleteAccount`: messages remain without their sender, and owned chatrooms pass to another member. Tokens do not create the user again; `upsertUsers` does. Requires a service token with the scope `users:write`. Fails with `NOT_FOUND` if no user has the external id, also if the user was deleted before.',
    args: { input: t.arg({ type: ExternalUserTargetInput, required: true, description: 'The user.' }) },
    resolve: async (_, { input }, context) => ({ userId: await deleteExternalUser(context, input.externalId) }),
  }),
}));
