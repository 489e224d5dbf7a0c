import { builder } from '../builder.ts';
import { requireViewer } from '../context.ts';
import { badInput } from '../errors.ts';
import { Viewer } from '../users/schema.ts';
import { signIn, signUp } from '../users/users.ts';
import { refreshSession, type SignedIn, signOut } from './sessions.ts';

const AuthPayload = builder.objectRef<SignedIn>('AuthPayload').implement({
  description: 'The tokens of a session, and whose it is.',
  fields: (t) => ({
    viewer: t.field({
      type: Viewer,
      description: 'The user who is now signed in.',
      resolve: (_, _args, context) => requireViewer(context),
    }),
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
      description: 'Good for one `refreshSession` within 30 days. Using it a second time ends the session.',
    }),
  }),
});

const SignUpInput = builder.inputType('SignUpInput', {
  description: 'A new account.',
  fields: (t) => ({
    username: t.string({
      required: true,
      description: '3 to 32 letters, digits, or any of _ . -; unique without regard to letter case.',
    }),
    password: t.string({ required: true, description: '8 to 128 characters.' }),
    email: t.string({ description: 'An address to sign in by, unique over all accounts.' }),
    nickname: t.string({ description: '1 to 64 characters; without it, the username.' }),
  }),
});

const SignInInput = builder.inputType('SignInInput', {
  description: 'An account and its password.',
  fields: (t) => ({
    usernameOrEmail: t.string({ required: true, description: 'Without regard to letter case.' }),
    password: t.string({ required: true, description: 'The password of the account.' }),
  }),
});

const RefreshSessionInput = builder.inputType('RefreshSessionInput', {
  description: 'What a session is continued with.',
  fields: (t) => ({ refreshToken: t.string({ description: 'The latest refresh token of the session.' }) }),
});

const OkPayload = builder.objectRef<Record<string, never>>('OkPayload').implement({
  description: 'It was done.',
  fields: (t) => ({ ok: t.boolean({ description: 'Always true: a failure is an error.', resolve: () => true }) }),
});

builder.mutationFields((t) => ({
  signUp: t.field({
    type: AuthPayload,
    nullable: true,
    description: 'Makes an account and signs it in. Fails with `BAD_USER_INPUT`, `USERNAME_TAKEN` or `EMAIL_TAKEN`.',
    args: { input: t.arg({ type: SignUpInput, required: true, description: 'The new account.' }) },
    resolve: (_, { input }, context) => signUp(context, input),
  }),
  signIn: t.field({
    type: AuthPayload,
    nullable: true,
    description: 'Begins a session. Fails with `INVALID_CREDENTIALS`, alike for a wrong name and a wrong password.',
    args: { input: t.arg({ type: SignInInput, required: true, description: 'The account and its password.' }) },
    resolve: (_, { input }, context) => signIn(context, input.usernameOrEmail, input.password),
  }),
  refreshSession: t.field({
    type: AuthPayload,
    nullable: true,
    description: 'Trades a refresh token for new tokens. Fails with `UNAUTHENTICATED` where it is not good any more.',
    args: { input: t.arg({ type: RefreshSessionInput, required: true, description: 'The refresh token.' }) },
    resolve: (_, { input }, context) => {
      if (input.refreshToken == null) throw badInput('input.refreshToken', 'Send the refresh token of the session.');
      return refreshSession(context, input.refreshToken);
    },
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
