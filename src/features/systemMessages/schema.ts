import { builder } from '../../graphql/builder.ts';
import { forServicesOnly } from '../../graphql/schemaPlugin.ts';
import type { Context } from '../../core/context.ts';
import { badInput } from '../../core/errors.ts';
import { keyOf } from '../../core/globalIds.ts';
import { Message } from '../messages/schema.ts';
import { chatroomKeyOf } from '../chatrooms/externalChatrooms.ts';
import { findExternalUser } from '../users/externalIds.ts';
import { type SentSystemMessage, sendSystemMessage, type SystemTarget } from './systemMessages.ts';

const SystemMessageTarget = builder.inputType('SystemMessageTarget', {
  description: 'Recipient of a system message. Set exactly one field.',
  isOneOf: true,
  fields: (t) => ({
    userId: t.id({ description: 'Id of the receiving user, who must be online.' }),
    username: t.string({ description: 'Username of the receiving user, who must be online.' }),
    chatroomId: t.id({ description: 'Id of the receiving chatroom, which stores the message as a SYSTEM message.' }),
    userExternalId: t.string({ description: 'External id of the receiving user, who must be online.' }),
    chatroomExternalId: t.string({
      description: 'External id of the receiving chatroom, which stores the message as a SYSTEM message.',
    }),
  }),
});

const SendSystemMessageInput = builder.inputType('SendSystemMessageInput', {
  description:
    'A message from a service, and its recipient. Set either `target`, or exactly one of `userId`, `username` and `chatroomId`.',
  fields: (t) => ({
    target: t.field({ type: SystemMessageTarget, description: 'Recipient of the message.' }),
    userId: t.id({ description: 'Id of the receiving user, who must be online. Same as `target: { userId }`.' }),
    username: t.string({
      description: 'Username of the receiving user, who must be online. Same as `target: { username }`.',
    }),
    chatroomId: t.id({
      description:
        'Id of the receiving chatroom, which stores the message as a SYSTEM message. Same as `target: { chatroomId }`.',
    }),
    body: t.string({
      required: true,
      description:
        'Text of 1 to 10,000 characters, at least one of them visible. White space at both ends does not count.',
    }),
    clientMessageId: t.string({
      description:
        'Id chosen by the service: 1 to 100 characters, permanently unique per service and chatroom. Sending the same id and body to a chatroom again returns the first message. A notice to one user is not stored, so a retry is delivered again.',
    }),
    authorName: t.string({
      description:
        'Name to show as the author: 1 to 64 characters on one line. The default is the name of the service.',
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
        'Whether an earlier send with the same `clientMessageId` stored the message. Always false for a notice to one user.',
    }),
    onlineRecipients: t.exposeInt('onlineRecipients', {
      description: 'Number of recipients who were online. Always 1 for a notice to one user.',
    }),
  }),
});

/** Recipient as an input names it. */
interface NamedTarget {
  userId?: string | null | undefined;
  username?: string | null | undefined;
  chatroomId?: string | null | undefined;
  userExternalId?: string | null | undefined;
  chatroomExternalId?: string | null | undefined;
}

async function recipientOf(context: Context, to: NamedTarget): Promise<SystemTarget> {
  if (to.userExternalId != null) return { userId: (await findExternalUser(context, to.userExternalId))?.id ?? null };
  if (to.chatroomExternalId != null)
    return { chatroomId: await chatroomKeyOf(context, { id: undefined, externalId: to.chatroomExternalId }) };
  return {
    userId: to.userId == null ? undefined : keyOf('User', to.userId),
    username: to.username ?? undefined,
    chatroomId: to.chatroomId == null ? undefined : keyOf('Chatroom', to.chatroomId),
  };
}

builder.mutationField('sendSystemMessage', (t) =>
  t.field({
    extensions: forServicesOnly('messages:write', 'notices:write'),
    type: SystemMessagePayload,
    nullable: true,
    description:
      'Sends a message from a service to a user or a chatroom. The service authenticates with a service token that has the scope `messages:write` or `notices:write`. A user receives the message as a `SystemNotice` on open `viewerEvents` streams. A chatroom stores it as a SYSTEM message. Fails with `FORBIDDEN` for the token of a user, and without the scope. Fails with `NOT_FOUND` if the recipient does not exist, and with `RECIPIENT_OFFLINE` if the receiving user is not online. Fails with `BAD_USER_INPUT` for an invalid argument, and with `CONFLICT` for a `clientMessageId` that was sent with another body.',
    args: {
      input: t.arg({ type: SendSystemMessageInput, required: true, description: 'The message and the recipient.' }),
    },
    resolve: async (_, { input: { target, userId, username, chatroomId, ...notice } }, context) => {
      if (target && (userId ?? username ?? chatroomId) != null)
        throw badInput(
          'input.target',
          'There is more than one recipient. Leave out userId, username and chatroomId if you set target.',
        );
      const to: NamedTarget = target ?? { userId, username, chatroomId };
      return sendSystemMessage(context, await recipientOf(context, to), notice);
    },
  }),
);
