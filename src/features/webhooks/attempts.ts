import type { Context } from '../../core/context.ts';
import { badInput, notFound } from '../../core/errors.ts';
import { createUuid, encodeId } from '../../core/globalIds.ts';
import { sql } from '../../platform/database/database.ts';
import type { WebhookResponse } from '../../platform/web/webhookClient.ts';
import { readEventPage } from '../chatroomEvents/eventPage.ts';
import { deliver, type DeliveryTarget, isDeliverable, post } from './delivery.ts';
import { deliveryColumns } from './deliveryStore.ts';
import { requireWebhook } from './webhooks.ts';

async function targetOf(context: Context, webhookId: string): Promise<DeliveryTarget> {
  const [target] = await context.database.query<DeliveryTarget>(
    sql`SELECT ${deliveryColumns} FROM webhooks w WHERE w.id = ${webhookId}::uuid`,
  );
  if (!target) throw notFound('webhook');
  return target;
}

/** Sends a signed test to the receiver of a webhook, and returns its response. Moves no cursor. */
export async function testWebhook(context: Context, id: string | null): Promise<WebhookResponse> {
  const webhook = await requireWebhook(context, id);
  const target = await targetOf(context, webhook.id);
  const data = { webhookTest: { webhookId: encodeId('Webhook', webhook.id), name: webhook.name } };
  const options = { timeoutMs: context.webhooks.shortTimeoutMs };
  return post(context, target, `test:${createUuid()}`, JSON.stringify({ data }), options);
}

/**
 * Sends an event of the log again, with the same `webhook-id`, and returns the response. Moves no cursor.
 *
 * @throws ChatError `NOT_FOUND` if the service has no such webhook, or if the log has no such event; `BAD_USER_INPUT` if
 *   the webhook does not receive the event
 */
export async function redeliver(
  context: Context,
  id: string | null,
  { chatroomId, seq }: { chatroomId: string | null; seq: number },
): Promise<WebhookResponse> {
  const webhook = await requireWebhook(context, id);
  if (chatroomId === null || (webhook.chatroomId !== null && webhook.chatroomId !== chatroomId))
    throw notFound('chatroom');
  if (seq < 1) throw badInput('input.seq', 'The events of a chatroom are counted from 1.');
  const [event] = await readEventPage(context, chatroomId, seq - 1);
  if (event?.seq !== seq || !isDeliverable(event)) throw notFound('event');
  if (!webhook.events.includes(event.kind))
    throw badInput('input.seq', `The webhook does not receive events of the kind ${event.kind}.`);
  const options = { timeoutMs: context.webhooks.shortTimeoutMs };
  return deliver(context, await targetOf(context, webhook.id), event, options);
}
