import { builder, connectionArgs } from '../../graphql/builder.ts';
import { personal } from '../../graphql/personalFields.ts';
import { keyOf } from '../../core/globalIds.ts';
import { Message, MessagePayload } from '../messages/schema.ts';
import { UserConnection } from '../users/schema.ts';
import { hasReacted, listReactors, react, type ReactionGroup as Group, reactionsOf } from './reactions.ts';

const ReactionGroup = builder.objectRef<Group>('ReactionGroup').implement({
  description: 'One emoji, and the users who reacted to a message with this emoji.',
  fields: (t) => ({
    emoji: t.exposeString('emoji', {
      description: 'The emoji, in its fully-qualified form (Unicode Technical Standard 51).',
    }),
    count: t.exposeInt('count', {
      description:
        'Number of users who reacted with this emoji. In GROUP and OPEN chatrooms, leaves out users whom the viewer has blocked.',
    }),
    users: t.field({
      type: UserConnection,
      description:
        'Users who reacted with this emoji, sorted by username. In GROUP and OPEN chatrooms, leaves out users whom the viewer has blocked.',
      args: connectionArgs(t.arg),
      resolve: (group, args, context) => listReactors(context, group, args),
    }),
    viewerHasReacted: t.boolean({
      description: 'Whether the viewer reacted with this emoji.',
      resolve: (group, _args, context, info) => personal(context, info, (own) => hasReacted(own, group)),
    }),
  }),
});

builder.objectField(Message, 'reactions', (t) =>
  t.field({
    type: [ReactionGroup],
    description: 'Reactions to the message, grouped by emoji. The emoji that was used first comes first.',
    resolve: (message, _args, context) => reactionsOf(context, message),
  }),
);

const ReactionInput = builder.inputType('ReactionInput', {
  description: 'A message, and the emoji of the reaction to add or remove.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'Id of the message.' }),
    emoji: t.string({
      required: true,
      description:
        'Exactly one emoji, such as 👍. Only emoji that Unicode recommends for general interchange are allowed. Forms with and without the variation selector U+FE0F are the same reaction.',
    }),
  }),
});

builder.mutationFields((t) => ({
  addReaction: t.field({
    type: MessagePayload,
    nullable: true,
    description:
      'Adds a reaction of the viewer to a message. Changes nothing if the viewer has already reacted with this emoji. A user can add at most 20 reactions to a message, and a message can have at most 50 different emoji. Fails with `BAD_USER_INPUT` if the emoji is invalid or a limit is reached, and with `NOT_FOUND` for an unknown or deleted message. Fails with `BLOCKED` in a DIRECT chatroom if one of the two users has blocked the other.',
    args: { input: t.arg({ type: ReactionInput, required: true, description: 'The message and the emoji.' }) },
    resolve: async (_, { input }, context) => ({
      message: await react(context, keyOf('Message', input.messageId), input.emoji, true),
    }),
  }),
  removeReaction: t.field({
    type: MessagePayload,
    nullable: true,
    description:
      'Removes a reaction of the viewer from a message. Changes nothing if the viewer has no such reaction. Fails with the same errors as `addReaction`.',
    args: { input: t.arg({ type: ReactionInput, required: true, description: 'The message and the emoji.' }) },
    resolve: async (_, { input }, context) => ({
      message: await react(context, keyOf('Message', input.messageId), input.emoji, false),
    }),
  }),
}));
