import { OkPayload } from '../auth/schema.ts';
import { builder } from '../builder.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { keyOf } from '../ids.ts';
import { User } from '../users/schema.ts';
import { followTyping, setTyping, type TypingChange } from './typing.ts';

const TypingChanged = builder.objectRef<TypingChange>('TypingChanged').implement({
  description: 'A member has begun or stopped to type.',
  fields: (t) => ({
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'Where.' }),
    user: t.expose('user', { type: User, description: 'Who.' }),
    typing: t.exposeBoolean('typing', { description: 'Whether they type now.' }),
  }),
});

const SetTypingInput = builder.inputType('SetTypingInput', {
  description: 'Whether the viewer types.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Where.' }),
    typing: t.boolean({ required: true, description: 'Whether they type now. It runs out after 10 s: say it again.' }),
  }),
});

builder.mutationField('setTyping', (t) =>
  t.field({
    type: OkPayload,
    nullable: true,
    description: 'Tells the other members whether the viewer types. Fails with `NOT_FOUND`.',
    args: { input: t.arg({ type: SetTypingInput, required: true, description: 'Whether, and where.' }) },
    resolve: async (_, { input }, context) => {
      await setTyping(context, keyOf('Chatroom', input.chatroomId), input.typing);
      return {};
    },
  }),
);

builder.subscriptionField('typingChanged', (t) =>
  t.field({
    type: TypingChanged,
    nullable: true,
    description:
      'Who types in a room: a hint, told to those who listen. Nobody across a block is shown. Fails with `NOT_FOUND`, and ends with it when the viewer loses the room.',
    args: { chatroomId: t.arg.id({ required: true, description: 'The room.' }) },
    subscribe: (_, { chatroomId }, context) => followTyping(context, keyOf('Chatroom', chatroomId)),
    resolve: (change) => change,
  }),
);
