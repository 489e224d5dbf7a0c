import { requireViewer } from '../../core/context.ts';
import { encodeId, keyOf } from '../../core/globalIds.ts';
import { builder } from '../../graphql/builder.ts';
import { alsoForServices } from '../../graphql/schemaPlugin.ts';
import { Chatroom } from '../chatrooms/schema.ts';
import {
  createIncomingWebhook,
  deleteIncomingWebhook,
  listIncomingWebhooks,
  MAX_INCOMING_WEBHOOKS,
  rotateIncomingWebhook,
  visibleWebhook,
  webhookUrl,
  type WebhookWithToken,
} from './incomingWebhooks.ts';

const IncomingWebhook = builder.prismaNode('IncomingWebhook', {
  description:
    'A URL at which another program sends messages to a chatroom. Visible only to the owner and admins of the chatroom. The URL is never returned again.',
  id: { field: 'id' },
  nullable: true,
  findUnique: (id, context) => visibleWebhook(id, requireViewer(context).userId),
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Name shown as the author of the messages.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the webhook was created.' }),
  }),
});

builder.objectField(Chatroom, 'incomingWebhooks', (t) =>
  t.field({
    type: [IncomingWebhook],
    nullable: true,
    description: `Incoming webhooks, oldest first. At most ${MAX_INCOMING_WEBHOOKS}. Null unless the viewer is the owner or an admin.`,
    resolve: ({ id }, _args, context) => listIncomingWebhooks(context, id),
  }),
);

const CreateIncomingWebhookInput = builder.inputType('CreateIncomingWebhookInput', {
  description: 'Properties of a new incoming webhook.',
  fields: (t) => ({
    chatroomId: t.id({ required: true, description: 'Id of the GROUP or OPEN chatroom that receives the messages.' }),
    name: t.string({
      required: true,
      description: 'Name to show as the author: 1 to 64 characters on one line, at least one of them visible.',
    }),
  }),
});

const RotateIncomingWebhookInput = builder.inputType('RotateIncomingWebhookInput', {
  description: 'Input of `rotateIncomingWebhook`.',
  fields: (t) => ({ webhookId: t.id({ required: true, description: 'Id of the incoming webhook.' }) }),
});

const DeleteIncomingWebhookInput = builder.inputType('DeleteIncomingWebhookInput', {
  description: 'Input of `deleteIncomingWebhook`.',
  fields: (t) => ({ webhookId: t.id({ required: true, description: 'Id of the incoming webhook.' }) }),
});

const IncomingWebhookPayload = builder.objectRef<WebhookWithToken>('IncomingWebhookPayload').implement({
  description: 'Result of `createIncomingWebhook` and `rotateIncomingWebhook`.',
  fields: (t) => ({
    incomingWebhook: t.expose('incomingWebhook', { type: IncomingWebhook, description: 'The incoming webhook.' }),
    url: t.string({
      description:
        'Address to which messages are posted. Everyone who knows it can send messages. It is stored hashed, and cannot be shown again.',
      resolve: ({ token }, _args, context) => webhookUrl(context, token),
    }),
    token: t.exposeString('token', { description: 'Last part of the path of `url`.' }),
  }),
});

const DeleteIncomingWebhookPayload = builder
  .objectRef<{ webhookId: string }>('DeleteIncomingWebhookPayload')
  .implement({
    description: 'Result of `deleteIncomingWebhook`.',
    fields: (t) => ({
      deletedWebhookId: t.id({
        description: 'Id of the deleted webhook.',
        resolve: ({ webhookId }) => encodeId('IncomingWebhook', webhookId),
      }),
    }),
  });

builder.mutationFields((t) => ({
  createIncomingWebhook: t.field({
    extensions: alsoForServices('webhooks:write'),
    type: IncomingWebhookPayload,
    nullable: true,
    description: `Creates a URL at which another program sends messages to a chatroom. The messages appear as notices by the name of the webhook. Requires the OWNER or ADMIN role, or a service with the scope \`webhooks:write\`. Fails with \`FORBIDDEN\` if the role does not suffice, with \`BAD_USER_INPUT\` for an invalid name or a DIRECT chatroom, and with \`LIMIT_REACHED\` if the chatroom has ${MAX_INCOMING_WEBHOOKS} incoming webhooks.`,
    args: { input: t.arg({ type: CreateIncomingWebhookInput, required: true, description: 'The new webhook.' }) },
    resolve: (_, { input }, context) => createIncomingWebhook(context, keyOf('Chatroom', input.chatroomId), input.name),
  }),
  rotateIncomingWebhook: t.field({
    extensions: alsoForServices('webhooks:write'),
    type: IncomingWebhookPayload,
    nullable: true,
    description:
      'Replaces the URL of an incoming webhook. The previous URL stops working at once. Requires the same rights as `createIncomingWebhook`.',
    args: { input: t.arg({ type: RotateIncomingWebhookInput, required: true, description: 'The webhook.' }) },
    resolve: (_, { input }, context) => rotateIncomingWebhook(context, keyOf('IncomingWebhook', input.webhookId)),
  }),
  deleteIncomingWebhook: t.field({
    extensions: alsoForServices('webhooks:write'),
    type: DeleteIncomingWebhookPayload,
    nullable: true,
    description:
      'Deletes an incoming webhook. Its URL stops working at once, and its messages remain. Requires the same rights as `createIncomingWebhook`.',
    args: { input: t.arg({ type: DeleteIncomingWebhookInput, required: true, description: 'The webhook.' }) },
    resolve: async (_, { input }, context) => {
      const { id } = await deleteIncomingWebhook(context, keyOf('IncomingWebhook', input.webhookId));
      return { webhookId: id };
    },
  }),
}));
