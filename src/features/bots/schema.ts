import { botScopes } from '../../core/botScopes.ts';
import { encodeId, keyOf } from '../../core/globalIds.ts';
import { builder } from '../../graphql/builder.ts';
import { User, Viewer, viewerField } from '../users/schema.ts';
import { requireUser } from '../users/users.ts';
import { type BotWithToken, createBot, deleteBot, listBots, MAX_BOTS, type OwnBot, rotateBotToken } from './bots.ts';

const scopeList = Object.entries(botScopes)
  .map(([name, meaning]) => `\`${name}\` (${meaning})`)
  .join(', ');

const Bot = builder.objectRef<OwnBot>('Bot').implement({
  description: 'A bot of the viewer.',
  fields: (t) => ({
    user: t.field({
      type: User,
      description: 'Public profile of the bot.',
      resolve: ({ userId }, _args, context) => requireUser(context, userId),
    }),
    scopes: t.exposeStringList('scopes', { description: `Rights of the bot: ${scopeList}.` }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the bot was created.' }),
  }),
});

builder.objectField(Viewer, 'bots', (t) =>
  t.field({
    type: [Bot],
    description: `Bots of the viewer, oldest first. At most ${MAX_BOTS}.`,
    resolve: (_, _args, context) => listBots(context),
  }),
);

const CreateBotInput = builder.inputType('CreateBotInput', {
  description: 'Properties of a new bot.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Username of the bot, with the same rules as in `signUp`.' }),
    nickname: t.string({
      description:
        'Display name of 1 to 64 characters on one line, at least one of them visible. The default is the username.',
    }),
    scopes: t.stringList({ required: true, description: `Rights of the bot, at least one: ${scopeList}.` }),
  }),
});

const RotateBotTokenInput = builder.inputType('RotateBotTokenInput', {
  description: 'Input of `rotateBotToken`.',
  fields: (t) => ({ botId: t.id({ required: true, description: 'User id of a bot of the viewer.' }) }),
});

const DeleteBotInput = builder.inputType('DeleteBotInput', {
  description: 'Input of `deleteBot`.',
  fields: (t) => ({ botId: t.id({ required: true, description: 'User id of a bot of the viewer.' }) }),
});

const BotPayload = builder.objectRef<BotWithToken>('BotPayload').implement({
  description: 'Result of `createBot` and `rotateBotToken`.',
  fields: (t) => ({
    bot: t.expose('bot', { type: User, description: 'The bot.' }),
    token: t.exposeString('token', {
      description:
        'Token of the bot, to be sent as `Authorization: Bearer TOKEN`. It does not expire. It is stored hashed, and cannot be shown again.',
    }),
    viewer: viewerField(t),
  }),
});

const DeleteBotPayload = builder.objectRef<{ botId: string }>('DeleteBotPayload').implement({
  description: 'Result of `deleteBot`.',
  fields: (t) => ({
    deletedBotId: t.id({
      description: 'User id of the deleted bot.',
      resolve: ({ botId }) => encodeId('User', botId),
    }),
    viewer: viewerField(t),
  }),
});

builder.mutationFields((t) => ({
  createBot: t.field({
    type: BotPayload,
    nullable: true,
    description: `Creates a bot: a user that belongs to the viewer, and authenticates with a token. A bot may do what both its scopes and its owner may do. Members add it to a chatroom like any user, and it leaves the chatroom with its owner. Fails with \`LIMIT_REACHED\` if the viewer has ${MAX_BOTS} bots, with \`USERNAME_TAKEN\`, and with \`BAD_USER_INPUT\` for an invalid name or scope. Bots cannot create bots.`,
    args: { input: t.arg({ type: CreateBotInput, required: true, description: 'The bot to create.' }) },
    resolve: (_, { input }, context) => createBot(context, input),
  }),
  rotateBotToken: t.field({
    type: BotPayload,
    nullable: true,
    description:
      'Replaces the token of a bot of the viewer. The previous token ends, and its sockets close with 4401 within a second. Fails with `NOT_FOUND` if the viewer has no such bot, and with `FORBIDDEN` if an operator has suspended the bot.',
    args: { input: t.arg({ type: RotateBotTokenInput, required: true, description: 'The bot.' }) },
    resolve: (_, { input }, context) => rotateBotToken(context, keyOf('User', input.botId)),
  }),
  deleteBot: t.field({
    type: DeleteBotPayload,
    nullable: true,
    description:
      'Deletes a bot of the viewer. Its messages remain without a sender. Fails with `NOT_FOUND` if the viewer has no such bot.',
    args: { input: t.arg({ type: DeleteBotInput, required: true, description: 'The bot.' }) },
    resolve: async (_, { input }, context) => ({ botId: await deleteBot(context, keyOf('User', input.botId)) }),
  }),
}));
