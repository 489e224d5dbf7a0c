import { builder } from '../builder.ts';
import { keyOf } from '../ids.ts';
import { viewerField } from '../users/schema.ts';
import { signIn } from '../users/signIn.ts';
import { signUp } from '../users/users.ts';
import { deleteAccount } from '../users/deletion.ts';
import { signInWithIdToken } from '../users/identities.ts';
import { requestEmailVerification, verifyEmail } from '../users/emails.ts';
import { changePassword, requestPasswordReset, resetPassword } from '../users/passwords.ts';
import { refreshSession } from './refreshing.ts';
import { revokeSession, type SignedIn, signOut } from './sessions.ts';

const AuthPayload = builder.objectRef<SignedIn>('AuthPayload').implement({
  description: 'The tokens of a session, and whose it is.',
  fields: (t) => ({
    viewer: viewerField(t),
    accessToken: t.exposeString('accessToken', {
      description:
        'Sent as `Authorization: Bearer TOKEN` over HTTP, and as `connectionParams: { authorization }` over WebSocket.',
    }),
    accessTokenExpiresAt: t.expose('accessTokenExpiresAt', {
      type: 'DateTime',
      description: 'When the access token runs out: 15 minutes after it was made.',
    }),
    refreshToken: t.exposeString('refreshToken', {
      nullable: true,
      description:
        'Valid for one `refreshSession` within 30 days. Using it again more than 10 s later ends the session. Null in cookie mode, where it is an HttpOnly cookie.',
    }),
    deviceToken: t.exposeString('deviceToken', {
      nullable: true,
      description:
        'Proves to a later `signIn` that this device signed in before. Store it, also after signing out. Valid for 400 days. Null for `refreshSession`, and in cookie mode, where it is an HttpOnly cookie.',
    }),
  }),
});

const COOKIE = 'Whether a browser keeps the tokens in HttpOnly cookies, which also open its WebSocket; over HTTP only.';

const SignUpInput = builder.inputType('SignUpInput', {
  description: 'A new account.',
  fields: (t) => ({
    username: t.string({
      required: true,
      description:
        '3 to 32 letters of one script, digits, or any of _ . -; unique regardless of letter case, and among names that look alike.',
    }),
    password: t.string({ required: true, description: '8 to 128 characters.' }),
    email: t.string({
      description: 'An address to sign in by. It is unverified until the token of the mail sent to it is used.',
    }),
    nickname: t.string({
      description: '1 to 64 characters in one line, at least one of them visible; without it, the username.',
    }),
    cookie: t.boolean({ required: true, defaultValue: false, description: COOKIE }),
  }),
});

const SignInInput = builder.inputType('SignInInput', {
  description: 'An account and its password.',
  fields: (t) => ({
    usernameOrEmail: t.string({ required: true, description: 'Without regard to letter case.' }),
    password: t.string({ required: true, description: 'The password of the account.' }),
    deviceToken: t.string({
      description:
        'The `deviceToken` of the last sign-in on this device; without it, that of the cookie. With it, failed sign-ins elsewhere never delay this one.',
    }),
    cookie: t.boolean({ required: true, defaultValue: false, description: COOKIE }),
  }),
});

const RefreshSessionInput = builder.inputType('RefreshSessionInput', {
  description: 'What a session is continued with.',
  fields: (t) => ({
    refreshToken: t.string({ description: 'The latest refresh token of the session; without it, that of the cookie.' }),
  }),
});

export const OkPayload = builder.objectRef<Record<string, never>>('OkPayload').implement({
  description: 'It was done.',
  fields: (t) => ({ ok: t.boolean({ description: 'Always true: a failure is an error.', resolve: () => true }) }),
});

builder.mutationFields((t) => ({
  signUp: t.field({
    type: AuthPayload,
    nullable: true,
    description:
      'Makes an account and signs it in. Fails with `BAD_USER_INPUT`, `USERNAME_TAKEN` or `EMAIL_TAKEN`, and with `FORBIDDEN` if `Server.signUp` is OFF.',
    args: { input: t.arg({ type: SignUpInput, required: true, description: 'The new account.' }) },
    resolve: (_, { input }, context) => signUp(context, input),
  }),
  signIn: t.field({
    type: AuthPayload,
    nullable: true,
    description:
      'Begins a session. Fails with `INVALID_CREDENTIALS`, alike for a wrong name and a wrong password; `RATE_LIMITED` after 5 failures of a device or network, or 100 of all others; `FORBIDDEN` for a suspended account.',
    args: { input: t.arg({ type: SignInInput, required: true, description: 'The account and its password.' }) },
    resolve: (_, { input }, context) => signIn(context, input),
  }),
  refreshSession: t.field({
    type: AuthPayload,
    nullable: true,
    description:
      'Exchanges a refresh token for new tokens of the same session. For 10 s the token just replaced is accepted again, in case the answer was lost; later it ends the session. Fails with `UNAUTHENTICATED` if the token is not valid any more.',
    args: { input: t.arg({ type: RefreshSessionInput, required: true, description: 'The refresh token.' }) },
    resolve: (_, { input }, context) => refreshSession(context, input.refreshToken ?? null),
  }),
  signOut: t.field({
    type: OkPayload,
    nullable: true,
    description: "Ends the session of this operation's access token: neither of its tokens works any more.",
    resolve: async (_, _args, context) => {
      await signOut(context);
      return {};
    },
  }),
}));

const SignInWithIdTokenInput = builder.inputType('SignInWithIdTokenInput', {
  description: 'A token of the configured OpenID provider; the account is made on first use.',
  fields: (t) => ({
    idToken: t.string({ required: true, description: 'The ID token, as the provider gave it.' }),
    username: t.string({ description: 'What a new account is called; without it, as the provider calls them.' }),
    cookie: t.boolean({ required: true, defaultValue: false, description: COOKIE }),
  }),
});

const RevokeSessionInput = builder.inputType('RevokeSessionInput', {
  description: 'A session to end.',
  fields: (t) => ({ sessionId: t.id({ required: true, description: 'One of the viewer’s sessions.' }) }),
});

const VerifyEmailInput = builder.inputType('VerifyEmailInput', {
  description: 'What proves an address.',
  fields: (t) => ({ token: t.string({ required: true, description: 'The token of the mail; it counts once.' }) }),
});

const RequestPasswordResetInput = builder.inputType('RequestPasswordResetInput', {
  description: 'Whose password is to be set anew.',
  fields: (t) => ({ email: t.string({ required: true, description: 'The address of the account.' }) }),
});

const ResetPasswordInput = builder.inputType('ResetPasswordInput', {
  description: 'A new password, and what proves that one may set it.',
  fields: (t) => ({
    token: t.string({ required: true, description: 'The token of the mail; it counts once.' }),
    newPassword: t.string({ required: true, description: '8 to 128 characters.' }),
  }),
});

const ChangePasswordInput = builder.inputType('ChangePasswordInput', {
  description: 'A new password.',
  fields: (t) => ({
    currentPassword: t.string({ description: 'Left out by an account that has none yet (OpenID).' }),
    newPassword: t.string({ required: true, description: '8 to 128 characters.' }),
  }),
});

const DeleteAccountInput = builder.inputType('DeleteAccountInput', {
  description: 'What proves that it is the viewer who asks.',
  fields: (t) => ({ password: t.string({ description: 'Left out by an account that has none (OpenID).' }) }),
});

const RevokeSessionPayload = builder.objectRef<{ sessionId: string }>('RevokeSessionPayload').implement({
  description: 'The session that has ended.',
  fields: (t) => ({
    revokedSessionId: t.exposeID('sessionId', { description: 'Its id.' }),
    viewer: viewerField(t),
  }),
});

/** For what answers nothing but that it was done. */
const done = async (work: Promise<void>) => {
  await work;
  return {};
};

builder.mutationFields((t) => ({
  signInWithIdToken: t.field({
    type: AuthPayload,
    nullable: true,
    description:
      'Signs in by a token of the configured OpenID provider. A new account takes its nickname from the `name` of the token. Fails with `INVALID_CREDENTIALS`; `BAD_USER_INPUT` or `USERNAME_TAKEN` for the name of a new account; `FORBIDDEN` for a new account if `Server.signUp` is OFF.',
    args: { input: t.arg({ type: SignInWithIdTokenInput, required: true, description: 'The token.' }) },
    resolve: (_, { input }, context) => signInWithIdToken(context, input),
  }),
  revokeSession: t.field({
    type: RevokeSessionPayload,
    nullable: true,
    description: 'Ends one of the viewer’s sessions, with its sockets, within a second. Fails with `NOT_FOUND`.',
    args: { input: t.arg({ type: RevokeSessionInput, required: true, description: 'Which.' }) },
    resolve: async (_, { input }, context) => {
      await revokeSession(context, keyOf('Session', input.sessionId));
      return { sessionId: input.sessionId };
    },
  }),
  requestEmailVerification: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Mails the viewer what proves their address. Fails with `BAD_USER_INPUT` where they have none, `CONFLICT` where it is verified.',
    resolve: (_, _args, context) => done(requestEmailVerification(context)),
  }),
  verifyEmail: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Proves an address by the token of the mail, signed in or not. Ask the user first whether the account that the mail names is theirs. The token that a replaced address is sent restores that address within 7 days: all sessions of the account end, and a link to set a new password is mailed. Fails with `BAD_USER_INPUT`, or `EMAIL_TAKEN` if another account has verified the address.',
    args: { input: t.arg({ type: VerifyEmailInput, required: true, description: 'The token.' }) },
    resolve: (_, { input }, context) => done(verifyEmail(context, input.token)),
  }),
  requestPasswordReset: t.field({
    type: OkPayload,
    nullable: true,
    description: 'Mails what a new password can be set with. The answer is the same whether anyone has the address.',
    args: { input: t.arg({ type: RequestPasswordResetInput, required: true, description: 'The address.' }) },
    resolve: (_, { input }, context) => done(requestPasswordReset(context, input.email)),
  }),
  resetPassword: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Sets a new password by the token of the mail, which also verifies the address. All sessions of the account end. If the address was not verified before, its OpenID identities and push devices are removed. Fails with `BAD_USER_INPUT`, or `EMAIL_TAKEN` if another account has verified the address.',
    args: { input: t.arg({ type: ResetPasswordInput, required: true, description: 'Token and password.' }) },
    resolve: (_, { input }, context) => done(resetPassword(context, input.token, input.newPassword)),
  }),
  changePassword: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Gives the viewer another password. Their other sessions end, with their sockets, within a second. Fails with `BAD_USER_INPUT` or `INVALID_CREDENTIALS`.',
    args: { input: t.arg({ type: ChangePasswordInput, required: true, description: 'The old one and the new one.' }) },
    resolve: (_, { input }, context) => done(changePassword(context, input.currentPassword ?? null, input.newPassword)),
  }),
  deleteAccount: t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Deletes the viewer’s account. Messages stay without a sender; rooms that they own are handed on; all else goes. Fails with `INVALID_CREDENTIALS`.',
    args: { input: t.arg({ type: DeleteAccountInput, required: true, description: 'The password.' }) },
    resolve: (_, { input }, context) => done(deleteAccount(context, input.password ?? null)),
  }),
}));
