import { builder } from '../../graphql/builder.ts';
import { forServicesOnly } from '../../graphql/schemaPlugin.ts';
import { encodeId, keyOf } from '../../core/globalIds.ts';
import { type WebhookEvent, webhookEvents } from './events.ts';
import { createWebhook, findWebhook, listWebhooks, type Webhook as WebhookRow } from './webhooks.ts';

const WebhookEventEnum = builder.enumType('WebhookEvent', {
  description: 'Kind of events that a webhook receives.',
  values: Object.fromEntries(
    Object.entries(webhookEvents).map(([kind, description]) => [kind, { description }]),
  ) as Record<WebhookEvent, { description: string }>,
});

const WebhookState = builder.enumType('WebhookState', {
  description: 'Whether a webhook is delivered.',
  values: {
    ACTIVE: { description: 'Events are delivered. Single chatrooms may fail.' },
    FAILED: { description: 'The server has given up. `Webhook.error` says why. `resumeWebhook` continues.' },
  } as const,
});

export const Webhook = builder.objectRef<WebhookRow>('Webhook').implement({
  description: 'Sends events of chatrooms to a URL of a service. Visible to the service that created it.',
  fields: (t) => ({
    id: t.id({ description: 'Opaque id, unique across all types.', resolve: ({ id }) => encodeId('Webhook', id) }),
    name: t.exposeString('name', { description: 'Name, unique among the webhooks of the service.' }),
    url: t.exposeString('url', { description: 'URL that receives the events.' }),
    events: t.expose('events', { type: [WebhookEventEnum], description: 'Kinds of events that are sent.' }),
    state: t.expose('state', { type: WebhookState, description: 'Whether the webhook is delivered.' }),
  }),
});

const CreateWebhookInput = builder.inputType('CreateWebhookInput', {
  description: 'Properties of a new webhook.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description: 'Name: 1 to 100 characters, unique among the webhooks of the service.',
    }),
    url: t.string({ required: true, description: 'URL.' }),
    events: t.field({ type: [WebhookEventEnum], required: true, description: 'Kinds of events to send.' }),
    chatroomId: t.id({ description: 'Id of the chatroom whose events are sent. By default, those of all chatrooms.' }),
    document: t.string({ description: 'Document.' }),
  }),
});

const WebhookSecretPayload = builder
  .objectRef<{ webhook: WebhookRow; secret: string }>('WebhookSecretPayload')
  .implement({
    description: 'A webhook and its new secret.',
    fields: (t) => ({
      webhook: t.expose('webhook', { type: Webhook, description: 'The webhook.' }),
      secret: t.exposeString('secret', { description: 'Secret that signs the requests. It is not shown again.' }),
    }),
  });

builder.queryFields((t) => ({
  webhooks: t.field({
    type: [Webhook],
    nullable: true,
    description: 'Webhooks.',
    resolve: (_, _args, context) => listWebhooks(context),
  }),
  webhook: t.field({
    type: Webhook,
    nullable: true,
    description: 'Webhook.',
    args: { id: t.arg.id({ required: true, description: 'Id of the webhook.' }) },
    resolve: (_, { id }, context) => findWebhook(context, keyOf('Webhook', id)),
  }),
}));

builder.mutationFields((t) => ({
  createWebhook: t.field({
    type: WebhookSecretPayload,
    nullable: true,
    extensions: forServicesOnly('webhooks:write'),
    description: 'Creates a webhook.',
    args: { input: t.arg({ type: CreateWebhookInput, required: true, description: 'Properties of the webhook.' }) },
    resolve: (_, { input: { chatroomId, document, ...settings } }, context) =>
      createWebhook(
        context,
        { ...settings, document: document ?? null },
        chatroomId == null ? null : (keyOf('Chatroom', chatroomId) ?? undefined),
      ),
  }),
}));
