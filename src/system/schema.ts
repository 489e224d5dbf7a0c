import { resolveNodes } from '@pothos/plugin-relay';
import { builder } from '../builder.ts';
import { requireViewer } from '../context.ts';
import { badInput, type ErrorCode as Code, errorCodes } from '../errors.ts';
import { decodeId, keyOf } from '../ids.ts';
import { Message } from '../messages/schema.ts';
import { type SentSystemMessage, sendSystemMessage } from './systemMessages.ts';
import { version } from './version.ts';

/** How many things can be asked for by id at once. */
const MOST_NODES = 100;

builder.queryFields((t) => ({
  node: t.field({
    type: builder.nodeInterfaceRef(),
    nullable: true,
    description: 'Anything by its id; null where there is none that the viewer may see.',
    args: { id: t.arg.id({ required: true, description: 'The id of anything.' }) },
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
      'Many things by their ids, at most 100, in the order asked for; null for each that the viewer may not see.',
    args: { ids: t.arg.idList({ required: true, description: 'The ids of anything.' }) },
    resolve: (_, { ids }, context, info) => {
      requireViewer(context);
      if (ids.length > MOST_NODES) throw badInput('ids', `Ask for at most ${MOST_NODES} at once.`);
      return resolveNodes(builder, context, info, ids.map(toPothos)) as Promise<object[]>;
    },
  }),
}));

function toPothos(id: string): { typename: string; id: string } | null {
  const decoded = decodeId(id);
  return decoded && { typename: decoded.type, id: decoded.key };
}

const ErrorCode = builder.enumType('ErrorCode', {
  description: 'Every failure is a GraphQL error whose extensions.code is one of these, on HTTP and WebSocket alike.',
  values: Object.fromEntries(
    Object.entries(errorCodes).map(([code, description]) => [code, { description }]),
  ) as Record<Code, { description: string }>,
});

const SignUpPolicy = builder.enumType('SignUpPolicy', {
  description: 'Who may create an account.',
  values: {
    OPEN: { description: 'Everyone, by `signUp` or by a first OpenID sign-in.' },
    OFF: { description: 'Nobody: the operator creates accounts.' },
  } as const,
});

const Server = builder.objectRef<object>('Server').implement({
  description: 'What this server is, for clients of any version.',
  fields: (t) => ({
    version: t.string({ description: 'The version of Parley, after semver.org.', resolve: () => version }),
    features: t.stringList({
      description: 'What this version can do, by names that never change their meaning.',
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
      description: 'Who may create an account. A page hides its sign-up form if it is OFF.',
      resolve: (_, _args, { allowsSignUp }) => (allowsSignUp ? ('OPEN' as const) : ('OFF' as const)),
    }),
    webPushPublicKey: t.string({
      nullable: true,
      description: 'The VAPID key that browsers subscribe with; null where Web Push is not configured.',
      resolve: (_, _args, { push }) => push.webPushPublicKey,
    }),
    now: t.field({ type: 'DateTime', description: 'The server’s clock.', resolve: () => new Date() }),
    errorCodes: t.field({
      type: [ErrorCode],
      description: 'Every code that this server may answer with.',
      resolve: () => Object.keys(errorCodes) as Code[],
    }),
  }),
});

builder.queryField('server', (t) =>
  t.field({ type: Server, nullable: true, description: 'What this server is.', resolve: () => ({}) }),
);

const SystemMessageTarget = builder.inputType('SystemMessageTarget', {
  description: 'Who receives a system message.',
  isOneOf: true,
  fields: (t) => ({
    userId: t.id({ description: 'One user, who has to be online.' }),
    username: t.string({ description: 'One user by name, who has to be online.' }),
    chatroomId: t.id({ description: 'A chatroom, which stores it as a SYSTEM message.' }),
  }),
});

const SendSystemMessageInput = builder.inputType('SendSystemMessageInput', {
  description: 'A message of another service. Set `target`, or exactly one of `userId`, `username` and `chatroomId`.',
  fields: (t) => ({
    target: t.field({ type: SystemMessageTarget, description: 'Who receives it.' }),
    userId: t.id({ description: 'To one user, who has to be online. The same as `target: { userId }`.' }),
    username: t.string({
      description: 'To one user by name, who has to be online. The same as `target: { username }`.',
    }),
    chatroomId: t.id({
      description: 'Into a chatroom, which keeps it as a SYSTEM message. The same as `target: { chatroomId }`.',
    }),
    body: t.string({
      required: true,
      description: '1 to 10,000 characters after trimming, at least one of them visible.',
    }),
    clientMessageId: t.string({
      description:
        'Chosen by the service, unique per service and chatroom for ever: sending it again returns the first message. 1 to 100 characters. A notice to one user is not stored, and is delivered again.',
    }),
    authorName: t.string({
      description:
        'Name to show as the author, 1 to 64 characters in one line. Without it, clients show the name of the service.',
    }),
    countsAsUnread: t.boolean({
      required: true,
      defaultValue: false,
      description: 'Whether the message counts as unread in its chatroom.',
    }),
  }),
});

const SystemMessagePayload = builder.objectRef<SentSystemMessage>('SystemMessagePayload').implement({
  description: 'It was said.',
  fields: (t) => ({
    message: t.expose('message', {
      type: Message,
      nullable: true,
      description: 'The message that the chatroom keeps; a service sees its own fields, not who else is there.',
    }),
    deduplicated: t.exposeBoolean('deduplicated', {
      description: 'True if the service had sent the same `clientMessageId` into the chatroom before.',
    }),
    onlineRecipients: t.exposeInt('onlineRecipients', { description: 'How many of the addressed users were online.' }),
  }),
});

builder.mutationField('sendSystemMessage', (t) =>
  t.field({
    type: SystemMessagePayload,
    nullable: true,
    description:
      'For other services, with a service token; users never (`FORBIDDEN`). To a user it is a SystemNotice, or fails with `RECIPIENT_OFFLINE`; a chatroom keeps it. Fails with `BAD_USER_INPUT` or `NOT_FOUND` too, and with `CONFLICT` for a clientMessageId that was sent with another body.',
    args: { input: t.arg({ type: SendSystemMessageInput, required: true, description: 'What to say, and to whom.' }) },
    resolve: (_, { input: { target, userId, username, chatroomId, ...notice } }, context) => {
      if (target && (userId ?? username ?? chatroomId) != null)
        throw badInput('input.target', 'Name the target once: leave out userId, username and chatroomId.');
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
