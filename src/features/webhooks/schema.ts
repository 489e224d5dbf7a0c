import { builder } from '../../graphql/builder.ts';
import { forServicesOnly } from '../../graphql/schemaPlugin.ts';
import { encodeId, keyOf } from '../../core/globalIds.ts';
import type { WebhookResponse } from '../../platform/web/webhookClient.ts';
import { redeliver, testWebhook } from './attempts.ts';
import { DEFAULT_DOCUMENT, type WebhookEvent, webhookEvents } from './events.ts';
import { resumeWebhook } from './position.ts';
import { type FailingRoom, failingRoomsOf, lagOf, MAX_FAILING_ROOMS } from './progress.ts';
import {
  createWebhook,
  deleteWebhook,
  findWebhook,
  listWebhooks,
  rotateSecret,
  updateWebhook,
  type Webhook as WebhookRow,
} from './webhooks.ts';

const REFUSALS =
  'Fails with `FORBIDDEN` for users, and for a service without the scope `webhooks:write`. Fails with `NOT_FOUND` if the service has no such webhook.';

const WebhookEventKind = builder.enumType('WebhookEvent', {
  description: 'Kind of events that a webhook receives.',
  values: Object.fromEntries(
    Object.entries(webhookEvents).map(([kind, description]) => [kind, { description }]),
  ) as Record<WebhookEvent, { description: string }>,
});

const WebhookState = builder.enumType('WebhookState', {
  description: 'Whether a webhook is delivered.',
  values: {
    ACTIVE: { description: 'Events are delivered. Single chatrooms may fail: see `Webhook.failingChatrooms`.' },
    FAILED: { description: 'The server has given up. `Webhook.error` says why, and `resumeWebhook` continues.' },
  } as const,
});

const WebhookChatroom = builder.objectRef<FailingRoom>('WebhookChatroom').implement({
  description: 'A chatroom in which the attempts of a webhook fail. Other chatrooms are not affected.',
  fields: (t) => ({
    chatroomId: t.id({
      description: 'Id of the chatroom.',
      resolve: ({ chatroomId }) => encodeId('Chatroom', chatroomId),
    }),
    seq: t.exposeInt('seq', { description: 'Position of the event that failed in the log of the chatroom.' }),
    attempts: t.exposeInt('attempts', { description: 'Number of failed attempts of this event.' }),
    lastError: t.exposeString('lastError', { nullable: true, description: 'Reason of the last failure.' }),
    failingSince: t.expose('failingSince', {
      type: 'DateTime',
      nullable: true,
      description: 'Time of the first failed attempt of this event.',
    }),
    nextAttemptAt: t.expose('nextAttemptAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Time of the next attempt. Null if the server has given up on the chatroom.',
    }),
    state: t.field({
      type: WebhookState,
      description: 'FAILED if the server has given up on the chatroom. `resumeWebhook` continues.',
      resolve: ({ failed }) => (failed ? 'FAILED' : 'ACTIVE'),
    }),
    lag: t.exposeInt('lag', { description: 'Number of events that wait, of all kinds.' }),
  }),
});

export const Webhook = builder.objectRef<WebhookRow>('Webhook').implement({
  description:
    'Sends events of chatrooms to a URL. In a chatroom, the events arrive in order and at least once. Visible to the service that created the webhook, and to admins.',
  fields: (t) => ({
    id: t.id({ description: 'Opaque id, unique across all types.', resolve: ({ id }) => encodeId('Webhook', id) }),
    service: t.exposeString('service', { description: 'Name of the service that created the webhook.' }),
    name: t.exposeString('name', { description: 'Name, unique among the webhooks of the service.' }),
    url: t.exposeString('url', { description: 'URL that receives the events.' }),
    events: t.expose('events', { type: [WebhookEventKind], description: 'Kinds of events that are sent.' }),
    chatroomId: t.id({
      nullable: true,
      description: 'Id of the chatroom whose events are sent. Null for all chatrooms of the server.',
      resolve: ({ chatroomId }) => chatroomId && encodeId('Chatroom', chatroomId),
    }),
    document: t.string({
      description: 'GraphQL subscription whose results are the bodies.',
      resolve: ({ document }) => document ?? DEFAULT_DOCUMENT,
    }),
    state: t.expose('state', { type: WebhookState, description: 'Whether the webhook is delivered.' }),
    error: t.exposeString('error', { nullable: true, description: 'Reason of the state FAILED. Otherwise null.' }),
    failedAt: t.expose('failedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Time at which the state became FAILED. Otherwise null.',
    }),
    lag: t.int({
      description: 'Number of events, of all kinds, that the webhook has not delivered or left out yet.',
      resolve: ({ id }, _args, context) => lagOf(context, id),
    }),
    failingChatrooms: t.field({
      type: [WebhookChatroom],
      description: `Chatrooms in which attempts fail, at most ${MAX_FAILING_ROOMS}, those that fail for the longest time first.`,
      resolve: ({ id }, _args, context) => failingRoomsOf(context, id),
    }),
    lastSuccessAt: t.expose('lastSuccessAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Time at which the receiver last acknowledged an event, give or take a second. Null if never.',
    }),
    previousSecretUntil: t.expose('previousSecretUntil', {
      type: 'DateTime',
      nullable: true,
      description: 'Time until which requests are also signed with the former secret. Null if there is none.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time of the creation.' }),
  }),
});

builder.queryFields((t) => ({
  webhooks: t.field({
    extensions: forServicesOnly('webhooks:write'),
    type: [Webhook],
    nullable: true,
    description:
      'Webhooks of the calling service, sorted by name. Fails with `FORBIDDEN` for users, and for a service without the scope `webhooks:write`.',
    resolve: (_, _args, context) => listWebhooks(context),
  }),
  webhook: t.field({
    extensions: forServicesOnly('webhooks:write'),
    type: Webhook,
    nullable: true,
    description:
      'A webhook of the calling service by id. Null if the service has no such webhook. Fails with `FORBIDDEN` for users, and for a service without the scope `webhooks:write`.',
    args: { id: t.arg.id({ required: true, description: 'Id of the webhook.' }) },
    resolve: (_, { id }, context) => findWebhook(context, keyOf('Webhook', id)),
  }),
}));

const CreateWebhookInput = builder.inputType('CreateWebhookInput', {
  description: 'Properties of a new webhook.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description: 'Name: 1 to 100 characters, unique among the webhooks of the service.',
    }),
    url: t.string({
      required: true,
      description:
        'URL that receives the events as POST requests. It begins with https:// and has a public address, unless the operator lists its host in WEBHOOK_ALLOW.',
    }),
    events: t.field({
      type: [WebhookEventKind],
      required: true,
      description: 'Kinds of events to send: at least one.',
    }),
    chatroomId: t.id({
      description: 'Id of the chatroom whose events are sent. By default, the events of all chatrooms are sent.',
    }),
    document: t.string({
      description:
        'GraphQL subscription with the root field `chatroomEvents`, or `messageAdded` if the only event is MESSAGE_ADDED. Its result for an event is the body. The server supplies the variable `$chatroomId`. Fields that depend on a viewer are refused. By default, the document in docs/webhooks.md is used.',
    }),
  }),
});

const UpdateWebhookInput = builder.inputType('UpdateWebhookInput', {
  description: 'Changes to a webhook. An absent field stays unchanged.',
  fields: (t) => ({
    webhookId: t.id({ required: true, description: 'Id of the webhook.' }),
    name: t.string({ description: 'New name, as in `createWebhook`.' }),
    url: t.string({ description: 'New URL, as in `createWebhook`.' }),
    events: t.field({ type: [WebhookEventKind], description: 'New kinds of events: at least one.' }),
    document: t.string({ description: 'New document, as in `createWebhook`. Null restores the default document.' }),
  }),
});

const WebhookTargetInput = builder.inputType('WebhookTargetInput', {
  description: 'Input of mutations on a webhook.',
  fields: (t) => ({ webhookId: t.id({ required: true, description: 'Id of the webhook.' }) }),
});

const RedeliverInput = builder.inputType('RedeliverInput', {
  description: 'Event to send again.',
  fields: (t) => ({
    webhookId: t.id({ required: true, description: 'Id of the webhook.' }),
    chatroomId: t.id({ required: true, description: 'Id of the chatroom of the event.' }),
    seq: t.int({ required: true, description: 'Position of the event in the log of the chatroom.' }),
  }),
});

const WebhookStart = builder.inputType('WebhookStart', {
  description: 'Position from which a webhook resumes. Set exactly one field.',
  isOneOf: true,
  fields: (t) => ({
    cursor: t.string({ description: 'Room cursor. The next event is the one after it. Needs `chatroomId`.' }),
    time: t.field({
      type: 'DateTime',
      description: 'The next events are those that were stored at or after this time. They may be sent again.',
    }),
    now: t.boolean({ description: 'True to continue with the events from now on, and to leave out those that wait.' }),
  }),
});

const ResumeWebhookInput = builder.inputType('ResumeWebhookInput', {
  description: 'Webhook to resume, and the position.',
  fields: (t) => ({
    webhookId: t.id({ required: true, description: 'Id of the webhook.' }),
    chatroomId: t.id({ description: 'Id of the chatroom to resume. By default, all chatrooms are resumed.' }),
    from: t.field({
      type: WebhookStart,
      description: 'Position of the next event. By default, the event that failed.',
    }),
  }),
});

const WebhookPayload = builder.objectRef<{ webhook: WebhookRow }>('WebhookPayload').implement({
  description: 'Result of a mutation on a webhook.',
  fields: (t) => ({ webhook: t.expose('webhook', { type: Webhook, description: 'The webhook after the change.' }) }),
});

const WebhookSecretPayload = builder
  .objectRef<{ webhook: WebhookRow; secret: string }>('WebhookSecretPayload')
  .implement({
    description: 'A webhook and its new secret.',
    fields: (t) => ({
      webhook: t.expose('webhook', { type: Webhook, description: 'The webhook after the change.' }),
      secret: t.exposeString('secret', {
        description:
          'Secret that signs the requests, in the format of Standard Webhooks: `whsec_` and base64. It is not shown again.',
      }),
    }),
  });

const DeleteWebhookPayload = builder.objectRef<{ deletedWebhookId: string }>('DeleteWebhookPayload').implement({
  description: 'Result of `deleteWebhook`.',
  fields: (t) => ({
    deletedWebhookId: t.exposeID('deletedWebhookId', { description: 'Id of the webhook that was deleted.' }),
  }),
});

const WebhookAttempt = builder.objectRef<WebhookResponse>('WebhookAttempt').implement({
  description: 'Outcome of one request to the receiver of a webhook.',
  fields: (t) => ({
    delivered: t.boolean({
      description: 'Whether the receiver responded with a status from 200 to 299.',
      resolve: ({ error }) => error === null,
    }),
    status: t.exposeInt('status', {
      nullable: true,
      description: 'HTTP status of the response. Null if there was none.',
    }),
    durationMs: t.exposeInt('ms', { description: 'Duration of the request in milliseconds.' }),
    error: t.exposeString('error', { nullable: true, description: 'Reason of the failure. Null if delivered.' }),
  }),
});

const extensions = forServicesOnly('webhooks:write');

builder.mutationFields((t) => ({
  createWebhook: t.field({
    type: WebhookSecretPayload,
    nullable: true,
    extensions,
    description:
      'Creates a webhook of the calling service. It receives the events that are committed from now on. Fails with `FORBIDDEN` for users, and for a service without the scope `webhooks:write`. Fails with `BAD_USER_INPUT` for an invalid property, with `NOT_FOUND` for an unknown chatroom, with `CONFLICT` if the service has a webhook of this name, and with `LIMIT_REACHED` if it has 20 webhooks.',
    args: { input: t.arg({ type: CreateWebhookInput, required: true, description: 'Properties of the webhook.' }) },
    resolve: (_, { input: { chatroomId, document, ...settings } }, context) =>
      createWebhook(
        context,
        { ...settings, document: document ?? null },
        chatroomId == null ? null : (keyOf('Chatroom', chatroomId) ?? undefined),
      ),
  }),
  updateWebhook: t.field({
    type: WebhookPayload,
    nullable: true,
    extensions,
    description: `Changes a webhook. Within a second, all attempts use the new settings. ${REFUSALS} Fails with \`BAD_USER_INPUT\` for an invalid property, and with \`CONFLICT\` if the service has another webhook of this name.`,
    args: { input: t.arg({ type: UpdateWebhookInput, required: true, description: 'Changes to the webhook.' }) },
    resolve: async (_, { input: { webhookId, name, url, events, document } }, context) => ({
      webhook: await updateWebhook(context, keyOf('Webhook', webhookId), {
        ...{ name: name ?? undefined, url: url ?? undefined, events: events ?? undefined, document },
      }),
    }),
  }),
  deleteWebhook: t.field({
    type: DeleteWebhookPayload,
    nullable: true,
    extensions,
    description: `Deletes a webhook. A request that is in progress may still arrive. ${REFUSALS}`,
    args: { input: t.arg({ type: WebhookTargetInput, required: true, description: 'Webhook to delete.' }) },
    resolve: async (_, { input: { webhookId } }, context) => ({
      deletedWebhookId: await deleteWebhook(context, keyOf('Webhook', webhookId)),
    }),
  }),
  rotateWebhookSecret: t.field({
    type: WebhookSecretPayload,
    nullable: true,
    extensions,
    description: `Replaces the secret of a webhook. For 24 hours, requests are signed with both secrets. ${REFUSALS}`,
    args: { input: t.arg({ type: WebhookTargetInput, required: true, description: 'Webhook with the secret.' }) },
    resolve: (_, { input: { webhookId } }, context) => rotateSecret(context, keyOf('Webhook', webhookId)),
  }),
  testWebhook: t.field({
    type: WebhookAttempt,
    nullable: true,
    extensions,
    description: `Sends a signed test to the receiver at once, and returns its response. The body is \`{"data":{"webhookTest":{…}}}\`, and \`webhook-id\` begins with \`test:\`. ${REFUSALS}`,
    args: { input: t.arg({ type: WebhookTargetInput, required: true, description: 'Webhook to test.' }) },
    resolve: (_, { input: { webhookId } }, context) => testWebhook(context, keyOf('Webhook', webhookId)),
  }),
  redeliver: t.field({
    type: WebhookAttempt,
    nullable: true,
    extensions,
    description: `Sends an event again at once, and returns the response of the receiver. The \`webhook-id\` is that of the first delivery. ${REFUSALS} Also if the log has no such event. Fails with \`BAD_USER_INPUT\` if the webhook does not receive events of this kind.`,
    args: { input: t.arg({ type: RedeliverInput, required: true, description: 'Event to send again.' }) },
    resolve: (_, { input: { webhookId, chatroomId, seq } }, context) =>
      redeliver(context, keyOf('Webhook', webhookId), { chatroomId: keyOf('Chatroom', chatroomId), seq }),
  }),
  resumeWebhook: t.field({
    type: WebhookPayload,
    nullable: true,
    extensions,
    description: `Continues a webhook or one of its chatrooms after a failure, or moves its position. All events that wait are attempted at once. ${REFUSALS} Fails with \`BAD_USER_INPUT\` for an invalid position, with \`CONFLICT\` for one chatroom of a webhook with the state FAILED, and with \`RESYNC_REQUIRED\` if the log no longer has the events after the position.`,
    args: { input: t.arg({ type: ResumeWebhookInput, required: true, description: 'Webhook and position.' }) },
    resolve: async (_, { input: { webhookId, chatroomId, from } }, context) => ({
      webhook: await resumeWebhook(
        context,
        keyOf('Webhook', webhookId),
        chatroomId == null ? undefined : keyOf('Chatroom', chatroomId),
        from ?? {},
      ),
    }),
  }),
}));
