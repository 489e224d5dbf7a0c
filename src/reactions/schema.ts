import { builder, connectionArgs } from '../builder.ts';
import { keyOf } from '../ids.ts';
import { Message, MessagePayload } from '../messages/schema.ts';
import { UserConnection } from '../users/schema.ts';
import { listReactors, react, type ReactionGroup as Group, reactionsOf } from './reactions.ts';

const ReactionGroup = builder.objectRef<Group>('ReactionGroup').implement({
  description: 'One emoji on a message.',
  fields: (t) => ({
    emoji: t.exposeString('emoji', { description: 'The emoji.' }),
    count: t.exposeInt('count', {
      description: 'How many have put it there, without those whom the viewer has blocked.',
    }),
    users: t.field({
      type: UserConnection,
      description: 'Who has put it there, by name, without those whom the viewer has blocked.',
      args: connectionArgs(t.arg),
      resolve: (group, args, context) => listReactors(context, group, args),
    }),
    viewerHasReacted: t.exposeBoolean('viewerHasReacted', { description: 'Whether the viewer is one of them.' }),
  }),
});

builder.objectField(Message, 'reactions', (t) =>
  t.field({
    type: [ReactionGroup],
    description: 'The first one first.',
    resolve: (message, _args, context) => reactionsOf(context, message),
  }),
);

const ReactionInput = builder.inputType('ReactionInput', {
  description: 'An emoji and the message that it is put on.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'The message.' }),
    emoji: t.string({
      required: true,
      description:
        'One emoji, such as 👍, of those that Unicode recommends, with or without U+FE0F: all forms are the same reaction.',
    }),
  }),
});

builder.mutationFields((t) => ({
  addReaction: t.field({
    type: MessagePayload,
    nullable: true,
    description:
      'Puts an emoji on a message, one of each for each user: at most 20 of one user, and 50 kinds on a message. Fails with `BAD_USER_INPUT`, `NOT_FOUND`, or `BLOCKED` in a DIRECT chatroom.',
    args: { input: t.arg({ type: ReactionInput, required: true, description: 'The reaction.' }) },
    resolve: async (_, { input }, context) => ({
      message: await react(context, keyOf('Message', input.messageId), input.emoji, true),
    }),
  }),
  removeReaction: t.field({
    type: MessagePayload,
    nullable: true,
    description: 'Takes an emoji back. Fails as addReaction does.',
    args: { input: t.arg({ type: ReactionInput, required: true, description: 'The reaction.' }) },
    resolve: async (_, { input }, context) => ({
      message: await react(context, keyOf('Message', input.messageId), input.emoji, false),
    }),
  }),
}));
