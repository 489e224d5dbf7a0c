import { OkPayload } from '../../graphql/okPayload.ts';
import { builder } from '../../graphql/builder.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { keyOf } from '../../core/globalIds.ts';
import { User } from '../users/schema.ts';
import { followTyping, setTyping, type TypingChange } from './typing.ts';

const TypingChanged = builder.objectRef<TypingChange>('TypingChanged').implement({
  description: 'A member of a chatroom started or stopped typing.',
  fields: (t) => ({
    chatroom: t.expose('chatroom', { type: Chatroom, description: 'The chatroom in which the user types.' }),
    user: t.expose('user', { type: User, description: 'The user who started or stopped typing.' }),
    typing: t.exposeBoolean('typing', { description: 'True if the user started typing, false if they stopped.' }),
  }),
});

const SetTypingInput = builder.inputType('SetTypingInput', {
  description: 'A chatroom, and whether the viewer is typing there.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Id of a chatroom of which the viewer is a member.' }),
    typing: t.boolean({
      required: true,
      description:
        'Whether the viewer is typing. True expires after 10 s, so clients repeat the call every few seconds while the viewer types.',
    }),
  }),
});

builder.mutationField('setTyping', (t) =>
  t.field({
    type: OkPayload,
    nullable: true,
    description:
      'Notifies the other members of a chatroom that the viewer is typing or has stopped typing. Fails with `NOT_FOUND` if the viewer is not a member.',
    args: { input: t.arg({ type: SetTypingInput, required: true, description: 'The chatroom and the state.' }) },
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
      'Sends an event when another member of a chatroom starts or stops typing. Leaves out users whom the viewer has blocked, and users who have blocked the viewer. A user stops typing at the latest 10 s after their client last called `setTyping`. Events can be lost. If a user is already typing when the subscription starts, the event follows when that user’s client calls `setTyping` again. Fails with `NOT_FOUND` if the viewer is not a member, and ends with `NOT_FOUND` when the viewer loses access to the chatroom.',
    args: { chatroomId: t.arg.id({ required: true, description: 'Id of the chatroom.' }) },
    subscribe: (_, { chatroomId }, context) => followTyping(context, keyOf('Chatroom', chatroomId)),
    resolve: (change) => change,
  }),
);
