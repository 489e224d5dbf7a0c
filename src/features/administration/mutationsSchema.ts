import { endSessions } from '../../auth/sessions.ts';
import { createServiceToken, revokeServiceToken } from '../../auth/serviceTokens.ts';
import type { Context } from '../../core/context.ts';
import { ChatError, notFound } from '../../core/errors.ts';
import { keyOf } from '../../core/globalIds.ts';
import { readingScopes } from '../../core/scopes.ts';
import { builder } from '../../graphql/builder.ts';
import { OkPayload } from '../../graphql/okPayload.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { closeAccount } from '../accounts/deletion.ts';
import { restoreUser, suspendUser } from '../accounts/suspension.ts';
import { eraseMessage } from '../messages/changes.ts';
import { type Action, administer, MAX_REASON_LENGTH } from './audit.ts';
import { type AdministeredUser, administeredUserById } from './lists.ts';
import { AdminUser } from './schema.ts';
import { createUser, requireOther } from './users.ts';

const REASON = `Why this is done: 1 to ${MAX_REASON_LENGTH} characters. Kept in the audit log.`;
const FAILS = 'Fails with `FORBIDDEN` unless the viewer is an admin, and with `BAD_USER_INPUT` without a reason.';

const AdminUserPayload = builder.objectRef<AdministeredUser>('AdminUserPayload').implement({
  description: 'Result of an action on a user.',
  fields: (t) => ({
    user: t.field({ type: AdminUser, description: 'The user after the action.', resolve: (user) => user }),
  }),
});

/** Defines a mutation with which an admin changes a user. */
function defineUserAction(
  name: string,
  description: string,
  act: (query: Database['query'], userId: string, context: Context) => Promise<void>,
): void {
  const input = builder.inputType(`${name.charAt(0).toUpperCase()}${name.slice(1)}Input`, {
    description: `Input of \`${name}\`.`,
    fields: (t) => ({
      userId: t.id({ required: true, description: 'Id of the user.' }),
      reason: t.string({ required: true, description: REASON }),
    }),
  });
  builder.mutationField(name, (t) =>
    t.field({
      type: AdminUserPayload,
      nullable: true,
      description: `${description} ${FAILS} Fails with \`NOT_FOUND\` for an unknown user.`,
      args: { input: t.arg({ type: input, required: true, description: 'The user and the reason.' }) },
      resolve: async (_, { input: { userId, reason } }, context) => {
        const id = keyOf('User', userId);
        const user = id === null ? null : await administeredUserById(context, id);
        await administer(context, { name, subject: user?.username ?? null, reason }, async (query) => {
          if (!user) throw notFound('user');
          await act(query, user.id, context);
        });
        context.cache = {};
        return (await administeredUserById(context, id ?? '')) ?? user;
      },
    }),
  );
}

defineUserAction(
  'adminSuspendUser',
  'Suspends an account. Nobody can sign in to it, and its sessions and sockets end within a second. Its messages stay. Fails with `BAD_USER_INPUT` for the viewer.',
  async (query, userId, context) => {
    requireOther(context, userId);
    await suspendUser(query, userId);
  },
);

defineUserAction(
  'adminRestoreUser',
  'Ends the suspension of an account. The user must sign in again.',
  (query, userId) => restoreUser(query, userId),
);

defineUserAction(
  'adminEndSessions',
  'Ends all sessions of a user and their sockets within a second. The user can sign in again.',
  (query, userId) => endSessions(query, sql`user_id = ${userId}::uuid`),
);

defineUserAction(
  'adminDeleteUser',
  'Deletes an account, like `deleteAccount`. This cannot be undone. A job deletes the data. Fails with `BAD_USER_INPUT` for the viewer.',
  async (query, userId, context) => {
    requireOther(context, userId);
    await closeAccount(query, userId, 0);
  },
);

const AdminCreateUserInput = builder.inputType('AdminCreateUserInput', {
  description: 'The account to create.',
  fields: (t) => ({
    username: t.string({ required: true, description: 'Name used to sign in.' }),
    nickname: t.string({ description: 'Display name. By default the same as the username.' }),
    email: t.string({ description: 'E-mail address for signing in. A verification mail is sent to it.' }),
    reason: t.string({ required: true, description: REASON }),
  }),
});

const AdminCreateUserPayload = builder
  .objectRef<{ user: AdministeredUser; password: string }>('AdminCreateUserPayload')
  .implement({
    description: 'The created account.',
    fields: (t) => ({
      user: t.expose('user', { type: AdminUser, description: 'The created user.' }),
      password: t.exposeString('password', { description: 'Generated password. It is not shown again.' }),
    }),
  });

const AdminEndSessionInput = builder.inputType('AdminEndSessionInput', {
  description: 'Input of `adminEndSession`.',
  fields: (t) => ({
    sessionId: t.id({ required: true, description: 'Id of the session.' }),
    reason: t.string({ required: true, description: REASON }),
  }),
});

const AdminDeleteMessageInput = builder.inputType('AdminDeleteMessageInput', {
  description: 'Input of `adminDeleteMessage`.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'Id of the message.' }),
    reason: t.string({ required: true, description: REASON }),
  }),
});

const AdminCreateServiceTokenInput = builder.inputType('AdminCreateServiceTokenInput', {
  description: 'The service that gets a token.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description: 'Name of the service: 1 to 64 characters: A to Z, a to z, digits, or any of _ . -',
    }),
    scopes: t.stringList({ required: true, description: 'Rights of the service, such as `users:write`.' }),
    reason: t.string({ required: true, description: REASON }),
  }),
});

const AdminCreateServiceTokenPayload = builder
  .objectRef<{ token: string }>('AdminCreateServiceTokenPayload')
  .implement({
    description: 'The created token.',
    fields: (t) => ({
      token: t.exposeString('token', {
        description: 'Token to send as `Authorization: Bearer TOKEN`. It is not shown again.',
      }),
    }),
  });

const AdminRevokeServiceTokenInput = builder.inputType('AdminRevokeServiceTokenInput', {
  description: 'Input of `adminRevokeServiceToken`.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Name of the service.' }),
    reason: t.string({ required: true, description: REASON }),
  }),
});

/**
 * Checks that a token does not let an admin read the messages of others.
 *
 * @throws ChatError `FORBIDDEN`
 */
function requireHarmless(scopes: readonly string[]): void {
  const reading = readingScopes.find((scope) => scopes.includes(scope));
  if (reading)
    throw new ChatError(
      'FORBIDDEN',
      `Tokens with the scope ${reading} read any chatroom. The operator creates them with \`npm run admin -- create-service-token\`.`,
    );
}

/** Returns an action whose subject is an id or a name that the client sent. */
function actionOn(name: string, subject: string, reason: string): Action {
  return { name, subject: subject.slice(0, 200), reason };
}

builder.mutationFields((t) => ({
  adminCreateUser: t.field({
    type: AdminCreateUserPayload,
    nullable: true,
    description: `Creates an account with a generated password, also if \`Server.signUp\` is OFF. ${FAILS} Fails with \`USERNAME_TAKEN\` or \`EMAIL_TAKEN\` like \`signUp\`.`,
    args: { input: t.arg({ type: AdminCreateUserInput, required: true, description: 'The account to create.' }) },
    resolve: (_, { input }, context) => createUser(context, input),
  }),
  adminEndSession: t.field({
    type: OkPayload,
    nullable: true,
    description: `Ends one session and its sockets within a second. ${FAILS} Fails with \`NOT_FOUND\` for an unknown session.`,
    args: { input: t.arg({ type: AdminEndSessionInput, required: true, description: 'The session and the reason.' }) },
    resolve: async (_, { input: { sessionId, reason } }, context) => {
      await administer(context, actionOn('adminEndSession', sessionId, reason), async (query) => {
        const id = keyOf('Session', sessionId);
        const found = id === null ? [] : await query(sql`SELECT FROM sessions WHERE id = ${id}::uuid`);
        if (found.length === 0) throw notFound('session');
        await endSessions(query, sql`id = ${id}::uuid`);
      });
      return {};
    },
  }),
  adminDeleteMessage: t.field({
    type: OkPayload,
    nullable: true,
    description: `Deletes a message of any user. The message remains with its number, but without its body. ${FAILS} Fails with \`NOT_FOUND\` for an unknown message, and for a message that no user has sent.`,
    args: {
      input: t.arg({ type: AdminDeleteMessageInput, required: true, description: 'The message and the reason.' }),
    },
    resolve: async (_, { input: { messageId, reason } }, context) => {
      const change = await administer(context, actionOn('adminDeleteMessage', messageId, reason), async (query) => {
        const erased = await eraseMessage(query, keyOf('Message', messageId));
        if (!erased) throw notFound('message');
        return erased;
      });
      if (change.seq !== null) context.roomTails.notify(change.chatroomId, change.seq);
      return {};
    },
  }),
  adminCreateServiceToken: t.field({
    type: AdminCreateServiceTokenPayload,
    nullable: true,
    description: `Creates a token for a service. Admins do not read chatrooms that they are not in, so only the command line gives the scopes ${readingScopes.map((scope) => `\`${scope}\``).join(', ')}. ${FAILS} Fails with \`FORBIDDEN\` for these scopes, with \`BAD_USER_INPUT\` for an invalid name or an unknown scope, and with \`CONFLICT\` if the service already has a token.`,
    args: {
      input: t.arg({ type: AdminCreateServiceTokenInput, required: true, description: 'The service and its scopes.' }),
    },
    resolve: async (_, { input: { name, scopes, reason } }, context) => ({
      token: await administer(context, actionOn('adminCreateServiceToken', name, reason), (query) => {
        requireHarmless(scopes);
        return createServiceToken({ query }, name, scopes);
      }),
    }),
  }),
  adminRevokeServiceToken: t.field({
    type: OkPayload,
    nullable: true,
    description: `Revokes the token of a service at once. ${FAILS} Fails with \`NOT_FOUND\` for an unknown service.`,
    args: {
      input: t.arg({ type: AdminRevokeServiceTokenInput, required: true, description: 'The service and the reason.' }),
    },
    resolve: async (_, { input: { name, reason } }, context) => {
      await administer(context, actionOn('adminRevokeServiceToken', name, reason), (query) =>
        revokeServiceToken({ query }, name),
      );
      return {};
    },
  }),
}));
