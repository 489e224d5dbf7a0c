import type { ServerNode } from '../../core/context.ts';
import { encodeId } from '../../core/globalIds.ts';
import type { RoomEvent } from '../../delivery/roomLog.ts';
import type { WebhookResponse } from '../../platform/web/webhookClient.ts';
import { DEFAULT_DOCUMENT } from './events.ts';
import { signatureHeaders, type SigningSecrets } from './signing.ts';

/** What a delivery needs of a webhook. */
export interface DeliveryTarget extends SigningSecrets {
  service: string;
  url: string;
  document: string | null;
}

/** Returns the id of an event, which is the same for each attempt: the id of the room, and the position in its log. */
export function deliveryId({ chatroomId, seq }: Pick<RoomEvent, 'chatroomId' | 'seq'>): string {
  return `${encodeId('Chatroom', chatroomId)}:${seq}`;
}

/** Returns whether an event can be delivered. Streams leave out the event of a message that no longer exists, too. */
export function isDeliverable({ number, message }: RoomEvent): boolean {
  return number === null || message !== null;
}

/**
 * Sends an event to the receiver of a webhook. Executes the document for each attempt, so that the body has the current
 * state of the message.
 */
export async function deliver(
  { webhooks }: Pick<ServerNode, 'webhooks'>,
  target: DeliveryTarget,
  event: RoomEvent,
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<WebhookResponse> {
  let body: string;
  try {
    const variables = { chatroomId: encodeId('Chatroom', event.chatroomId) };
    const document = target.document ?? DEFAULT_DOCUMENT;
    body = JSON.stringify(await webhooks.documents.execute(target.service, document, event, variables));
  } catch (error) {
    return {
      status: null,
      error: `The body could not be made. ${(error as Error).message}`,
      ms: 0,
      retryAfterMs: null,
    };
  }
  return post({ webhooks }, target, deliveryId(event), body, options);
}

/** Sends a signed body. */
export function post(
  { webhooks }: Pick<ServerNode, 'webhooks'>,
  target: DeliveryTarget,
  id: string,
  body: string,
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<WebhookResponse> {
  return webhooks.client.post(target.url, { headers: signatureHeaders(target, id, body), body, ...options });
}
