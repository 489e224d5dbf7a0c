import { resolveNodes } from '@pothos/plugin-relay';
import { builder } from '../../graphql/builder.ts';
import { noViewerRequired } from '../../graphql/schemaPlugin.ts';
import { requireViewer } from '../../core/context.ts';
import { badInput, type ErrorCode as Code, errorCodes } from '../../core/errors.ts';
import { decodeId, keyOf } from '../../core/globalIds.ts';
import { Message } from '../messages/schema.ts';
import { type SentSystemMessage, sendSystemMessage } from './systemMessages.ts';
import { version } from '../../core/version.ts';

/** Maximum number of ids in one `nodes` query. More fail with `BAD_USER_INPUT`. */
const MAX_NODES = 100;

builder.queryFields((t) => ({
  node: t.field({
    type: builder.nodeInterfaceRef(),
    nullable: true,
    description: 'Returns an object by its id. Null if the object does not exist or the viewer may not see it.',
    args: { id: t.arg.id({ required: true, description: 'Id of an object of any type.' }) },
    resolve: async (_, { id }, context, info) => {
      requireViewer(context);
      const [node] = await resolveNodes(builder, context, info, [toPothos(id)]);
      return node ?? null;
    },
  }),
  nodes: t.field({
    type: [builder.nodeInterfaceRef()],
    nullable: { list: false, items: true },
    description:
      'Returns objects by their ids, in the order of `ids`. An item is null if the object does not exist or the viewer may not see it. Fails with `BAD_USER_INPUT` for more than 100 ids.',
    args: { ids: t.arg.idList({ required: true, description: 'At most 100 ids of objects of any type.' }) },
    resolve: (_, { ids }, context, info) => {
      requireViewer(context);
      if (ids.length > MAX_NODES) throw badInput('ids', `There are too many ids. Send at most ${MAX_NODES} at once.`);
      return resolveNodes(builder, context, info, ids.map(toPothos)) as Promise<object[]>;
    },
  }),
}));

function toPothos(id: string): { typename: string; id: string } | null {
  const decoded = decodeId(id);
  return decoded && { typename: decoded.type, id: decoded.key };
}

const ErrorCode = builder.enumType('ErrorCode', {
  description:
    'Values of `extensions.code`. Every failure is a GraphQL error with one of these codes, over HTTP and WebSocket.',
  values: Object.fromEntries(
    Object.entries(errorCodes).map(([code, description]) => [code, { description }]),
  ) as Record<Code, { description: string }>,
});

const SignUpPolicy = builder.enumType('SignUpPolicy', {
  description: 'Policy for the creation of accounts.',
  values: {
    OPEN: { description: 'Everyone can create an account, with `signUp` or with a first OpenID sign-in.' },
    OFF: { description: 'Only the operator can create accounts.' },
  } as const,
});

const Server = builder.objectRef<object>('Server').implement({
  description: 'Properties of this server. Clients use them to adapt to its version and configuration.',
  fields: (t) => ({
    version: t.string({ description: 'Version of Parley, according to semver.org.', resolve: () => version }),
    features: t.stringList({
      description:
        'Names of the supported features: `resume`, `cookies`, and if configured `openid`, `fcm` and `web-push`. The meaning of a name never changes. Later versions may add names.',
      resolve: (_, _args, { openId, push }) => [
        'resume',
        'cookies',
        ...(openId ? ['openid'] : []),
        ...(push.senders.FCM ? ['fcm'] : []),
        ...(push.senders.WEB_PUSH ? ['web-push'] : []),
      ],
    }),
    signUp: t.field({
      type: SignUpPolicy,
      description: 'Policy for the creation of accounts. Clients should hide their sign-up form if it is OFF.',
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

const SystemMessageTarget = builder.inputType('SystemMessageTarget', {
  description: 'Recipient of a system message. Set exactly one field.',
  isOneOf: true,
  fields: (t) => ({
    userId: t.id({ description: 'Id of a user, who must be online.' }),
    username: t.string({ description: 'Username of a user, who must be online.' }),
    chatroomId: t.id({ description: 'Id of a chatroom, which stores the message as a SYSTEM message.' }),
  }),
});

const SendSystemMessageInput = builder.inputType('SendSystemMessageInput', {
  description: 'A message from another service. Set `target`, or exactly one of `userId`, `username` and `chatroomId`.',
  fields: (t) => ({
    target: t.field({ type: SystemMessageTarget, description: 'Recipient of the message.' }),
    userId: t.id({ description: 'Id of a user, who must be online. Same as `target: { userId }`.' }),
    username: t.string({
      description: 'Username of a user, who must be online. Same as `target: { username }`.',
    }),
    chatroomId: t.id({
      description: 'Id of a chatroom, which stores the message as a SYSTEM message. Same as `target: { chatroomId }`.',
    }),
    body: t.string({
      required: true,
      description: 'Text of the message: 1 to 10,000 characters after trimming, at least one of them visible.',
    }),
    clientMessageId: t.string({
      description:
        'Id chosen by the service, 1 to 100 characters, permanently unique per service and chatroom. Sending the same id and body again returns the first message. A notice to one user is not stored, so a retry is delivered again.',
    }),
    authorName: t.string({
      description:
        'Name to show as the author, 1 to 64 characters in one line. The default is the name of the service.',
    }),
    countsAsUnread: t.boolean({
      required: true,
      defaultValue: false,
      description: 'Whether the message counts as unread in its chatroom. No effect on a notice to one user.',
    }),
  }),
});

const SystemMessagePayload = builder.objectRef<SentSystemMessage>('SystemMessagePayload').implement({
  description: 'Result of `sendSystemMessage`.',
  fields: (t) => ({
    message: t.expose('message', {
      type: Message,
      nullable: true,
      description:
        'The message stored in the chatroom. The service can read the fields of the message, but not the members of the chatroom. Null for a notice to one user.',
    }),
    deduplicated: t.exposeBoolean('deduplicated', {
      description:
        'True if the service had already sent this `clientMessageId` to the chatroom, so that nothing new was stored.',
    }),
    onlineRecipients: t.exposeInt('onlineRecipients', {
      description: 'Number of recipients who were online. Always 1 for a notice to one user.',
    }),
  }),
});

builder.mutationField('sendSystemMessage', (t) =>
  t.field({
    // Requires a service token instead of a viewer.
    extensions: noViewerRequired,
    type: SystemMessagePayload,
    nullable: true,
    description:
      'Sends a message from another service, which authenticates with a service token. A user receives a `SystemNotice` on open `viewerEvents` streams. A chatroom stores a SYSTEM message. Fails with `FORBIDDEN` if a user calls it, with `RECIPIENT_OFFLINE` if the recipient is a user who is not online, with `NOT_FOUND` if the recipient does not exist, with `BAD_USER_INPUT` for an invalid argument, and with `CONFLICT` if this `clientMessageId` was sent with another body.',
    args: {
      input: t.arg({ type: SendSystemMessageInput, required: true, description: 'The message and the recipient.' }),
    },
    resolve: (_, { input: { target, userId, username, chatroomId, ...notice } }, context) => {
      if (target && (userId ?? username ?? chatroomId) != null)
        throw badInput(
          'input.target',
          'There is more than one recipient. Leave out userId, username and chatroomId if you set target.',
        );
      const to = { userId, username, chatroomId, ...target };
      return sendSystemMessage(
        context,
        {
          userId: to.userId == null ? undefined : keyOf('User', to.userId),
          username: to.username ?? undefined,
          chatroomId: to.chatroomId == null ? undefined : keyOf('Chatroom', to.chatroomId),
        },
        notice,
      );
    },
  }),
);
