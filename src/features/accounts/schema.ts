import { builder } from '../../graphql/builder.ts';
import { OkPayload } from '../../graphql/okPayload.ts';
import { noViewerRequired } from '../../graphql/schemaPlugin.ts';
import { keyOf } from '../../core/globalIds.ts';
import { viewerField } from '../users/schema.ts';
import { signIn } from './signIn.ts';
import { signUp } from '../users/users.ts';
import { deleteAccount } from './deletion.ts';
import { signInWithIdToken } from './openIdSignIn.ts';
import { requestEmailVerification, verifyEmail } from '../users/emails.ts';
import { changePassword, requestPasswordReset, resetPassword } from '../users/recovery.ts';
import { refreshSession } from '../../auth/refreshTokens.ts';
import { revokeSession, type SignedIn, signOut } from '../../auth/sessions.ts';

const AuthPayload = builder.objectRef<SignedIn>('AuthPayload').implement({
  description: 'The viewer, and the tokens of the viewer’s session.',
  fields: (t) => ({
    viewer: viewerField(t),
    accessToken: t.exposeString('accessToken', {
      description:
        'Token that authenticates requests. Send it as `Authorization: Bearer TOKEN` over HTTP, and as `connectionParams: { authorization: "Bearer TOKEN" }` over WebSocket.',
    }),
    accessTokenExpiresAt: t.expose('accessTokenExpiresAt', {
      type: 'DateTime',
      description: 'Time at which the access token expires, 15 minutes after it was issued.',
    }),
    refreshToken: t.exposeString('refreshToken', {
      nullable: true,
      description:
        'Token for the next call of `refreshSession`, valid once and for 30 days. If it is used again more than 10 s after the first use, the session ends. Null if the tokens are set as cookies.',
    }),
    deviceToken: t.exposeString('deviceToken', {
      nullable: true,
      description:
        'Token that proves that this device has signed in before. Keep it after signing out, and pass it to the next `signIn`. Valid for 400 days. Null in the result of `refreshSession`, and if the tokens are set as cookies.',
    }),
  }),
});

const COOKIE =
  'If true, the server sets the tokens as HttpOnly cookies, which also authenticate the browser’s WebSocket. Over WebSocket, true fails with `BAD_USER_INPUT`, because cookies can only be set over HTTP.';

const SignUpInput = builder.inputType('SignUpInput', {
  description: 'The account to create.',
  fields: (t) => ({
    username: t.string({
      required: true,
      description:
        'Unique name of 3 to 32 characters: letters, digits, `_`, `.` and `-`. All letters must belong to one script, but Latin may be combined with Japanese, Chinese or Korean. Names that look alike or differ only in letter case count as the same name.',
    }),
    password: t.string({ required: true, description: 'Password of 8 to 128 characters.' }),
    email: t.string({
      description:
        'E-mail address, which can also be used to sign in. The server mails a token to the address. Pass the token to `verifyEmail` to verify the address.',
    }),
    nickname: t.string({
      description:
        'Display name of 1 to 64 characters on one line, at least one of them visible. The default is the username.',
    }),
    cookie: t.boolean({ required: true, defaultValue: false, description: COOKIE }),
  }),
});

const SignInInput = builder.inputType('SignInInput', {
  description: 'Name and password of an account.',
  fields: (t) => ({
    usernameOrEmail: t.string({
      required: true,
      description: 'Username or e-mail address of the account. Letter case is ignored.',
    }),
    password: t.string({ required: true, description: 'Password of the account.' }),
    deviceToken: t.string({
      description:
        'The `deviceToken` of the last sign-in on this device. By default, the server uses the token in the cookie. With a valid device token, failed sign-ins on other devices never delay this sign-in.',
    }),
    cookie: t.boolean({ required: true, defaultValue: false, description: COOKIE }),
  }),
});

const RefreshSessionInput = builder.inputType('RefreshSessionInput', {
  description: 'The refresh token of a session.',
  fields: (t) => ({
    refreshToken: t.string({
      description: 'Latest refresh token of the session. By default, the server uses the token in the cookie.',
    }),
  }),
});

builder.mutationFields((t) => ({
  signUp: t.field({
    extensions: noViewerRequired,
    type: AuthPayload,
    nullable: true,
    description:
      'Creates an account and signs in to it. Fails with `BAD_USER_INPUT` for an invalid value, and with `FORBIDDEN` if `Server.signUp` is OFF. Fails with `USERNAME_TAKEN` or `EMAIL_TAKEN` if another account has the username, or has verified the e-mail address.',
    args: { input: t.arg({ type: SignUpInput, required: true, description: 'The account to create.' }) },
    resolve: (_, { input }, context) => signUp(context, input),
  }),
  signIn: t.field({
    extensions: noViewerRequired,
    type: AuthPayload,
    nullable: true,
    description:
      'Signs in with a password and starts a session. Fails with `INVALID_CREDENTIALS` if the name is unknown or the password is wrong; the error does not show which. After 5 failures from one device or network, the next attempt fails with `RATE_LIMITED` until a waiting time has passed. After 100 failures from devices and networks that are new to the account, attempts from all such devices and networks fail with `RATE_LIMITED` too. Fails with `FORBIDDEN` for a suspended account.',
    args: { input: t.arg({ type: SignInInput, required: true, description: 'Name and password.' }) },
    resolve: (_, { input }, context) => signIn(context, input),
  }),
  refreshSession: t.field({
    extensions: noViewerRequired,
    type: AuthPayload,
    nullable: true,
    description:
      'Exchanges a refresh token for a new access token and a new refresh token of the same session. The old refresh token is accepted again for 10 s, in case the response was lost. Using the old token later ends the session. Fails with `UNAUTHENTICATED` if the token is no longer valid.',
    args: { input: t.arg({ type: RefreshSessionInput, required: true, description: 'The refresh token.' }) },
    resolve: (_, { input }, context) => refreshSession(context, input.refreshToken ?? null),
  }),
  signOut: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Ends the current session. Its access token and refresh token stop working, and its sockets close within a second.',
    resolve: async (_, _args, context) => {
      await signOut(context);
      return {};
    },
  }),
}));

const SignInWithIdTokenInput = builder.inputType('SignInWithIdTokenInput', {
  description: 'An ID token of the configured OpenID provider.',
  fields: (t) => ({
    idToken: t.string({ required: true, description: 'The ID token, as issued by the provider.' }),
    username: t.string({
      description:
        'Username for a new account. By default, the server derives it from the names in the token. Ignored if the account exists.',
    }),
    cookie: t.boolean({ required: true, defaultValue: false, description: COOKIE }),
  }),
});

const RevokeSessionInput = builder.inputType('RevokeSessionInput', {
  description: 'A session to end.',
  fields: (t) => ({ sessionId: t.id({ required: true, description: 'Id of one of the viewer’s sessions.' }) }),
});

const VerifyEmailInput = builder.inputType('VerifyEmailInput', {
  description: 'A token that was mailed to an e-mail address.',
  fields: (t) => ({
    token: t.string({
      required: true,
      description:
        'The token from the mail. Valid once, for 48 hours. A token that restores a replaced address is valid for 7 days.',
    }),
  }),
});

const RequestPasswordResetInput = builder.inputType('RequestPasswordResetInput', {
  description: 'Input of `requestPasswordReset`.',
  fields: (t) => ({ email: t.string({ required: true, description: 'E-mail address of the account.' }) }),
});

const ResetPasswordInput = builder.inputType('ResetPasswordInput', {
  description: 'A new password, and the token that `requestPasswordReset` mailed.',
  fields: (t) => ({
    token: t.string({ required: true, description: 'The token from the mail. Valid once, for one hour.' }),
    newPassword: t.string({ required: true, description: 'New password of 8 to 128 characters.' }),
  }),
});

const ChangePasswordInput = builder.inputType('ChangePasswordInput', {
  description: 'The current and the new password of the viewer.',
  fields: (t) => ({
    currentPassword: t.string({
      description:
        'Current password. Leave it out if the account was created by an OpenID sign-in and has no password yet.',
    }),
    newPassword: t.string({ required: true, description: 'New password of 8 to 128 characters.' }),
  }),
});

const DeleteAccountInput = builder.inputType('DeleteAccountInput', {
  description: 'The password that confirms the deletion.',
  fields: (t) => ({
    password: t.string({
      description:
        'Password of the account. Leave it out if the account was created by an OpenID sign-in and has no password.',
    }),
  }),
});

const RevokeSessionPayload = builder.objectRef<{ sessionId: string }>('RevokeSessionPayload').implement({
  description: 'Result of `revokeSession`.',
  fields: (t) => ({
    revokedSessionId: t.exposeID('sessionId', { description: 'Id of the ended session.' }),
    viewer: viewerField(t),
  }),
});

/** Awaits the work of a mutation, and returns its `OkPayload`. */
const done = async (work: Promise<void>) => {
  await work;
  return {};
};

builder.mutationFields((t) => ({
  signInWithIdToken: t.field({
    extensions: noViewerRequired,
    type: AuthPayload,
    nullable: true,
    description:
      'Signs in with an ID token of the configured OpenID provider. The first sign-in creates an account, with the `name` in the token as the nickname. Fails with `INVALID_CREDENTIALS` if the token is invalid, and with `FORBIDDEN` for a suspended account. Creating the account fails with `BAD_USER_INPUT` or `USERNAME_TAKEN` if the username is invalid or taken, and with `FORBIDDEN` if `Server.signUp` is OFF.',
    args: { input: t.arg({ type: SignInWithIdTokenInput, required: true, description: 'The ID token.' }) },
    resolve: (_, { input }, context) => signInWithIdToken(context, input),
  }),
  revokeSession: t.field({
    type: RevokeSessionPayload,
    nullable: true,
    description:
      'Ends one of the viewer’s sessions. The sockets of the session close within a second. Fails with `NOT_FOUND` if the viewer has no such session.',
    args: { input: t.arg({ type: RevokeSessionInput, required: true, description: 'The session to end.' }) },
    resolve: async (_, { input }, context) => {
      await revokeSession(context, keyOf('Session', input.sessionId));
      return { sessionId: input.sessionId };
    },
  }),
  requestEmailVerification: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Mails the viewer a token for `verifyEmail`, valid for 48 hours. Fails with `BAD_USER_INPUT` if the viewer has no e-mail address, with `CONFLICT` if the address is already verified, and with `RATE_LIMITED` after too many requests.',
    resolve: (_, _args, context) => done(requestEmailVerification(context)),
  }),
  verifyEmail: t.field({
    extensions: noViewerRequired,
    type: OkPayload,
    nullable: true,
    description:
      'Verifies an e-mail address with the token mailed to the address. Works signed in and signed out. Before calling this mutation, ask the user whether the account named in the mail is theirs. With a token mailed to a replaced or cleared address, restores that address and ends all sessions of the account. The server then mails a link to set a new password. Fails with `BAD_USER_INPUT` if the token is invalid, was used or has expired, and with `EMAIL_TAKEN` if another account has verified the address.',
    args: { input: t.arg({ type: VerifyEmailInput, required: true, description: 'The token from the mail.' }) },
    resolve: (_, { input }, context) => done(verifyEmail(context, input.token)),
  }),
  requestPasswordReset: t.field({
    extensions: noViewerRequired,
    type: OkPayload,
    nullable: true,
    description:
      'Mails a token for `resetPassword`, valid for one hour. The response does not show whether an account has the address. Fails with `RATE_LIMITED` after too many requests.',
    args: {
      input: t.arg({ type: RequestPasswordResetInput, required: true, description: 'The address of the account.' }),
    },
    resolve: (_, { input }, context) => done(requestPasswordReset(context, input.email)),
  }),
  resetPassword: t.field({
    extensions: noViewerRequired,
    type: OkPayload,
    nullable: true,
    description:
      'Sets a new password with the token mailed by `requestPasswordReset`. Also verifies the e-mail address, and ends all sessions of the account. If the address was not verified before, removes the OpenID identities and push devices of the account. Fails with `BAD_USER_INPUT` if the token or the password is invalid, and with `EMAIL_TAKEN` if another account has verified the address.',
    args: {
      input: t.arg({ type: ResetPasswordInput, required: true, description: 'The token and the new password.' }),
    },
    resolve: (_, { input }, context) => done(resetPassword(context, input.token, input.newPassword)),
  }),
  changePassword: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Changes the viewer’s password. All other sessions of the viewer end, and their sockets close within a second. Fails with `INVALID_CREDENTIALS` if the current password is wrong, and with `BAD_USER_INPUT` if the new password is invalid. Fails with `FORBIDDEN` for a user of another application, who has no password here.',
    args: {
      input: t.arg({ type: ChangePasswordInput, required: true, description: 'The current and the new password.' }),
    },
    resolve: (_, { input }, context) => done(changePassword(context, input.currentPassword ?? null, input.newPassword)),
  }),
  deleteAccount: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Deletes the viewer’s account. Messages remain without a sender, and owned chatrooms pass to another member. Sessions, devices, friendships, blocks, memberships and reactions are removed. Fails with `INVALID_CREDENTIALS` if the password is wrong.',
    args: { input: t.arg({ type: DeleteAccountInput, required: true, description: 'The password of the account.' }) },
    resolve: (_, { input }, context) => done(deleteAccount(context, input.password ?? null)),
  }),
}));
