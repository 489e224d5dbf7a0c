import { builder, connectionArgs, defineConnection } from '../../graphql/builder.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import { isJoined, requireEventChatroom } from '../chatrooms/chatrooms.ts';
import { requireViewer } from '../../core/context.ts';
import type { Message as MessageRow } from '../../platform/database/generated/client.ts';
import { keyOf } from '../../core/globalIds.ts';
import { loadUnlessOnlyId } from '../../graphql/loadUnlessOnlyId.ts';
import { readsSnapshot } from '../../graphql/snapshotFields.ts';
import { alsoForServices } from '../../graphql/schemaPlugin.ts';
import { chatroomKeyOf, READS_ROOMS, requireChatroomOfService } from '../chatrooms/externalChatrooms.ts';
import { actorOf } from '../users/externalIds.ts';
import { User, viewerField } from '../users/schema.ts';
import { userById } from '../users/users.ts';
import { deleteMessage, editMessage } from './changes.ts';
import {
  lastMessageIn,
  listMessages,
  messageByKey,
  messageCursor,
  messageForService,
  messageKey,
  type MessageWithSender,
  type NoticeSender,
  repliedMessage,
  sendMessage,
  visibleMessage,
} from './messages.ts';

const MessageKind = builder.enumType('MessageKind', {
  description: 'Kind of a message. Depends on who created the message.',
  values: {
    USER: { description: 'Sent by a user.' },
    SYSTEM: {
      description: 'Created by the server when a user joins, leaves or renames the chatroom, or sent by a service.',
    },
  } as const,
});

const SystemEvent = builder.enumType('SystemEvent', {
  description:
    'Event that a SYSTEM message reports. Clients display a text for the event, in the language of their user.',
  values: {
    MEMBER_JOINED: { description: 'The user in `subject` has become a member.' },
    MEMBER_LEFT: { description: 'The user in `subject` has left or was removed.' },
    RENAMED: { description: 'The user in `subject` has changed the name of the chatroom.' },
    NOTICE: { description: 'A service or an incoming webhook has sent the text in `body`.' },
  } as const,
});

/** Author of a notice. Used for messages in a room, and for unstored notices to one user. */
export const NoticeAuthor = builder.objectRef<NoticeSender & { service: string }>('NoticeAuthor').implement({
  description: 'Service that sent a notice, and the name to display.',
  fields: (t) => ({
    service: t.exposeString('service', {
      description:
        'Name of the service. The operator sets this name when creating the service token. For a message of an incoming webhook, `hook:` and an id.',
    }),
    name: t.string({
      description: 'Display name: the author name sent with the notice, or else the name of the service.',
      resolve: ({ service, authorName }) => authorName ?? service,
    }),
  }),
});

/** Returns the author of a notice; null for other messages. */
export function noticeAuthorOf({ service, authorName }: NoticeSender): (NoticeSender & { service: string }) | null {
  return service === null ? null : { service, authorName };
}

export const Message = builder.prismaNode('Message', {
  description: 'A message in a chatroom. Visible only to members of the chatroom.',
  id: { resolve: ({ chatroomId, number }) => messageKey(chatroomId, number) },
  nullable: true,
  findUnique: (key, context) => visibleMessage(key, requireViewer(context).userId),
  fields: (t) => ({
    cursor: t.string({
      extensions: readsSnapshot,
      description:
        'Room cursor: position of this message. Pass it as `after` to resume after the message. Same as the cursor of the message’s edge in `Chatroom.messages`.',
      resolve: (message, _args, context) => messageCursor(context, message),
    }),
    chatroom: t.field({
      type: Chatroom,
      description: 'Chatroom that contains the message.',
      extensions: alsoForServices(...READS_ROOMS),
      resolve({ chatroomId, isUnchecked }: MessageWithSender, _args, context, info) {
        if (context.service) return requireChatroomOfService(context, chatroomId);
        const load = () => requireEventChatroom(context, chatroomId);
        return isUnchecked ? load() : loadUnlessOnlyId(info, chatroomId, load);
      },
    }),
    number: t.exposeInt('number', {
      description:
        'Position of the message in its chatroom: 1, 2, 3 … without gaps, the same for all members. The viewer does not see messages of users whom they have blocked, so a missing number does not mean a lost message.',
    }),
    kind: t.expose('kind', {
      type: MessageKind,
      description: 'USER if a user sent the message. SYSTEM if the server or a service created the message.',
    }),
    sender: t.field({
      type: User,
      nullable: true,
      description: 'User who sent the message. Null for a SYSTEM message, and if the account has been deleted.',
      resolve: ({ senderId, sender }: MessageWithSender, _args, context, info) =>
        senderId === null ? null : (sender ?? loadUnlessOnlyId(info, senderId, () => userById(context, senderId))),
    }),
    body: t.exposeString('body', {
      nullable: true,
      description:
        'Text of the message, exactly as sent. Empty if the message has only attachments. Null if the message has been deleted. Also null for a SYSTEM message, unless `systemEvent` is NOTICE.',
    }),
    systemEvent: t.expose('systemEvent', {
      type: SystemEvent,
      nullable: true,
      description: 'Event that a SYSTEM message reports. Null for other messages.',
    }),
    noticeAuthor: t.field({
      type: NoticeAuthor,
      nullable: true,
      description:
        'Service that sent the message, if `systemEvent` is NOTICE. Null for other messages, and for notices stored by earlier releases.',
      resolve: noticeAuthorOf,
    }),
    subject: t.field({
      type: User,
      nullable: true,
      description: 'User whom a SYSTEM message is about. Null for other messages, and if the account has been deleted.',
      resolve: ({ subjectId }, _args, context, info) =>
        subjectId === null ? null : loadUnlessOnlyId(info, subjectId, () => userById(context, subjectId)),
    }),
    createdAt: t.expose('createdAt', {
      type: 'DateTime',
      description: 'Time at which the server stored the message, according to the server’s clock.',
    }),
    editedAt: t.expose('editedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Time of the last edit. Null if the message was never edited.',
    }),
    deletedAt: t.expose('deletedAt', {
      type: 'DateTime',
      nullable: true,
      description:
        'Time at which the message was deleted. Null if the message has not been deleted. A deleted message remains with its number, but without its body.',
    }),
    clientMessageId: t.exposeString('clientMessageId', {
      nullable: true,
      description:
        'Id that the sender’s client or the service assigned to the message. Null if the message was sent without such an id.',
    }),
  }),
});

// Added after the type is defined, because TypeScript cannot infer a type with a field of that same type.
builder.objectField(Message, 'replyTo', (t) =>
  t.field({
    type: Message,
    nullable: true,
    description:
      'Message of the same chatroom that this message replies to. Null if this message is not a reply, or if the viewer may not see the other message.',
    resolve: (message, _args, context) => repliedMessage(context, message),
  }),
);

export const { Edge: MessageEdge, List: MessageConnection } = defineConnection(Message, 'Message');

builder.objectFields(Chatroom, (t) => ({
  messages: t.field({
    // Also if only the nodes are selected, because the resolver creates all cursors of the page.
    extensions: { ...readsSnapshot, ...alsoForServices('messages:read') },
    type: MessageConnection,
    nullable: true,
    description:
      'Messages of the chatroom, oldest first. Page backwards from the end with `last` and `before`. The cursors are room cursors, which `messageAdded` and `chatroomEvents` also accept as `after`. Null unless the viewer is a member.',
    args: connectionArgs(t.arg),
    resolve: async (chatroom, args, context) =>
      context.service || (await isJoined(context, chatroom)) ? listMessages(context, chatroom.id, args) : null,
  }),
  message: t.field({
    type: Message,
    nullable: true,
    description:
      'Message with a given number. Null if there is no such message, the viewer may not see the message, or the viewer is not a member.',
    args: { number: t.arg.int({ required: true, description: 'Number of the message in this chatroom, from 1.' }) },
    extensions: alsoForServices('messages:read'),
    resolve: (chatroom, { number }, context) =>
      number < 1
        ? null
        : (context.service ? messageForService : messageByKey)(context, messageKey(chatroom.id, number)),
  }),
  lastMessage: t.field({
    type: Message,
    nullable: true,
    description: 'Newest message that the viewer may see. Null if there is none, or if the viewer is not a member.',
    extensions: alsoForServices('messages:read'),
    resolve: (chatroom, _args, context) => lastMessageIn(context, chatroom),
  }),
}));

const LinkPreviewMode = builder.enumType('LinkPreviewMode', {
  description: 'Whether the server finds previews for the links of a message.',
  values: {
    NONE: { description: 'The message has only the previews in `linkPreviewIds`.' },
    AUTO: {
      description:
        'After the send, the server finds previews for the first 3 links. They arrive with `LinkPreviewsChanged`. A later edit neither adds nor removes previews.',
    },
  } as const,
});

const SendMessageInput = builder.inputType('SendMessageInput', {
  description: 'Message to send.',
  fields: (t) => ({
    chatroomId: t.id({
      description: 'Id of the chatroom. Required, except for services that set `chatroomExternalId`.',
    }),
    chatroomExternalId: t.string({ description: 'For services: external id of the chatroom.' }),
    asUserId: t.id({ description: 'For services: id of the user who sends the message. Same as `asUserExternalId`.' }),
    asUserExternalId: t.string({ description: 'For services: external id of the user who sends the message.' }),
    body: t.string({
      required: true,
      description:
        'Text of 1 to 10,000 characters, at least one of them visible. White space at both ends is stored, but does not count. May be empty if the message has attachments.',
    }),
    clientMessageId: t.string({
      description:
        'Id chosen by the client: 1 to 100 characters, permanently unique per sender and chatroom. Makes retries safe: sending the same message with the same id again stores no second message, and returns the first message.',
    }),
    replyToId: t.id({ description: 'Id of a message of the same chatroom that this message replies to.' }),
    linkPreviewIds: t.idList({
      description:
        'Ids of at most 3 link previews that the viewer has requested with `linkPreview` and not sent yet, in the order in which the message shows them.',
    }),
    linkPreviews: t.field({
      type: LinkPreviewMode,
      defaultValue: 'NONE',
      description:
        'Whether the server finds previews for the links of the message. AUTO is not allowed together with `linkPreviewIds`. AUTO costs 20 points if the message has a link, and has no effect if `Server.features` lacks `link-previews`.',
    }),
    attachmentIds: t.idList({
      description:
        'Ids of at most 10 attachments that the viewer has uploaded with the purpose MESSAGE and not sent yet, in the order in which they are shown. Attachments that are still being processed are allowed.',
    }),
  }),
});

const SendMessagePayload = builder
  .objectRef<{ message: MessageRow; deduplicated: boolean }>('SendMessagePayload')
  .implement({
    description: 'Result of `sendMessage`. Returned only after the database has committed the message.',
    fields: (t) => ({
      message: t.expose('message', { type: Message, description: 'The stored message.' }),
      viewer: viewerField(t),
      edge: t.field({
        extensions: readsSnapshot,
        type: MessageEdge,
        description: 'The message as an edge of `Chatroom.messages`.',
        resolve: ({ message }, _args, context) => ({ cursor: messageCursor(context, message), node: message }),
      }),
      deduplicated: t.exposeBoolean('deduplicated', {
        description:
          'Whether an earlier send with the same `clientMessageId` stored the message. A sender who is no longer a member receives the message as it was first sent. Such a sender cannot read the message’s reactions, link previews, files, readers or chatroom.',
      }),
    }),
  });

builder.mutationField('sendMessage', (t) =>
  t.field({
    type: SendMessagePayload,
    nullable: true,
    extensions: alsoForServices('messages:write'),
    description:
      'Sends a message to a chatroom and marks the chatroom as read up to this message. A service with the scope `messages:write` sends as the user whom it names: what the user may not do fails. Fails with `BAD_USER_INPUT` for an invalid argument, and with `CONFLICT` for a `clientMessageId` that was sent with other content. Fails with `NOT_FOUND` if the viewer is not a member, if the message to reply to is not in the chatroom, or if an attachment or a link preview is unknown or was sent before. Fails with `BLOCKED` in a DIRECT chatroom if either member has blocked the other. A retry of a stored message succeeds even if the viewer is no longer a member of the chatroom.',
    args: { input: t.arg({ type: SendMessageInput, required: true, description: 'Message to send.' }) },
    resolve: async (
      _,
      { input: { chatroomId, chatroomExternalId, asUserId, asUserExternalId, ...input } },
      context,
    ) => {
      const actor = {
        id: asUserId == null ? undefined : keyOf('User', asUserId),
        externalId: asUserExternalId,
      };
      const sender = await actorOf(context, actor, 'messages:write');
      const room = {
        id: chatroomId == null ? undefined : keyOf('Chatroom', chatroomId),
        externalId: chatroomExternalId,
      };
      const sent = await sendMessage(sender, {
        ...input,
        chatroomId: await chatroomKeyOf(context, room),
        replyToKey: input.replyToId == null ? undefined : keyOf('Message', input.replyToId),
        linkPreviewIds: input.linkPreviewIds?.map((id) => keyOf('LinkPreview', id)),
        attachmentIds: input.attachmentIds?.map((id) => keyOf('Attachment', id)),
      });
      return context.service ? { ...sent, message: { ...sent.message, isUnchecked: true } } : sent;
    },
  }),
);

export const MessagePayload = builder.objectRef<{ message: MessageRow }>('MessagePayload').implement({
  description: 'Result of a mutation on a message.',
  fields: (t) => ({
    message: t.expose('message', { type: Message, description: 'The message after the change.' }),
    edge: t.field({
      extensions: readsSnapshot,
      type: MessageEdge,
      description: 'The message as an edge of `Chatroom.messages`.',
      resolve: ({ message }, _args, context) => ({ cursor: messageCursor(context, message), node: message }),
    }),
  }),
});

const EditMessageInput = builder.inputType('EditMessageInput', {
  description: 'Input of `editMessage`.',
  fields: (t) => ({
    messageId: t.id({ required: true, description: 'Id of a message that the viewer has sent.' }),
    body: t.string({
      required: true,
      description:
        'New text of 1 to 10,000 characters, at least one of them visible. White space at both ends is stored, but does not count. May be empty if the message has attachments.',
    }),
  }),
});

const DeleteMessageInput = builder.inputType('DeleteMessageInput', {
  description: 'Input of `deleteMessage`.',
  fields: (t) => ({ messageId: t.id({ required: true, description: 'Id of the message.' }) }),
});

builder.mutationFields((t) => ({
  editMessage: t.field({
    type: MessagePayload,
    nullable: true,
    description:
      'Replaces the text of a message that the viewer has sent. Fails with `BAD_USER_INPUT` for an invalid text, with `NOT_FOUND` for an unknown or deleted message, and with `FORBIDDEN` for a message of another sender. Fails with `BLOCKED` in a DIRECT chatroom if either member has blocked the other.',
    args: { input: t.arg({ type: EditMessageInput, required: true, description: 'Message and new text.' }) },
    resolve: async (_, { input }, context) => ({
      message: await editMessage(context, keyOf('Message', input.messageId), input.body),
    }),
  }),
  deleteMessage: t.field({
    type: MessagePayload,
    nullable: true,
    extensions: alsoForServices('moderation:write'),
    description:
      'Deletes a message. Senders may delete their own messages; owners and admins may delete the messages of all users, and so may a service token with the scope `moderation:write`. The message remains with its number, but without its body. Fails with `NOT_FOUND` for an unknown message, and with `FORBIDDEN` if the viewer may not delete the message.',
    args: { input: t.arg({ type: DeleteMessageInput, required: true, description: 'Message to delete.' }) },
    resolve: async (_, { input }, context) => ({
      message: await deleteMessage(context, keyOf('Message', input.messageId)),
    }),
  }),
}));
