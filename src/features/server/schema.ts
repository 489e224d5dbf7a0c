import './nodesSchema.ts';
import { type ErrorCode as Code, errorCodes } from '../../core/errors.ts';
import { version } from '../../core/version.ts';
import { builder } from '../../graphql/builder.ts';
import { featureList, featuresOf } from './features.ts';

const ErrorCode = builder.enumType('ErrorCode', {
  description:
    'Values of `extensions.code`. Every failure is a GraphQL error with one of these codes, over HTTP, SSE and WebSocket.',
  values: Object.fromEntries(
    Object.entries(errorCodes).map(([code, description]) => [code, { description }]),
  ) as Record<Code, { description: string }>,
});

const SignUpPolicy = builder.enumType('SignUpPolicy', {
  description: 'Whether clients may create accounts.',
  values: {
    OPEN: { description: 'Everyone can create an account, with `signUp` or by a first OpenID sign-in.' },
    OFF: { description: 'Only the operator can create accounts.' },
  } as const,
});

const Server = builder.objectRef<object>('Server').implement({
  description: 'Properties of this server. Clients use them to adapt to its version and configuration.',
  fields: (t) => ({
    version: t.string({ description: 'Version of Parley, according to semver.org.', resolve: () => version }),
    features: t.stringList({
      description: `Names of the supported features: ${featureList}. The meaning of a name never changes. Later versions may add names.`,
      resolve: (_, _args, context) => featuresOf(context),
    }),
    signUp: t.field({
      type: SignUpPolicy,
      description: 'Whether clients may create accounts. If the policy is OFF, clients should hide their sign-up form.',
      resolve: (_, _args, { allowsSignUp }) => (allowsSignUp ? ('OPEN' as const) : ('OFF' as const)),
    }),
    webPushPublicKey: t.string({
      nullable: true,
      description:
        'VAPID public key with which browsers subscribe to notifications. Null if Web Push is not configured.',
      resolve: (_, _args, { push }) => push.webPushPublicKey,
    }),
    now: t.field({ type: 'DateTime', description: 'Current time of the server’s clock.', resolve: () => new Date() }),
    errorCodes: t.field({
      type: [ErrorCode],
      description: 'All error codes that this server can return.',
      resolve: () => Object.keys(errorCodes) as Code[],
    }),
  }),
});

builder.queryField('server', (t) =>
  t.field({
    type: Server,
    nullable: true,
    description: 'Properties of this server. Available to signed-out clients.',
    resolve: () => ({}),
  }),
);
