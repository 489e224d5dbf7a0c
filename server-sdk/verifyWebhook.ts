import { Webhook } from 'standardwebhooks';

/** A verified request of a webhook. */
export interface WebhookRequest<Body = unknown> {
  /** Id of the event: the same on each attempt. Store it to recognise a repeated request. */
  id: string;
  /** Time of the attempt. */
  sentAt: Date;
  /** Result of the document of the webhook: `{ data: … }`. */
  body: Body;
}

/** Headers of a request, as `node:http`, Express and Fetch provide them. */
export type WebhookHeaders = Record<string, string | string[] | undefined> | { get(name: string): string | null };

/**
 * Verifies the signature of a request and returns its content. The signature covers the bytes of the body, so pass the
 * body as it arrived, not parsed JSON. In Express, use `express.raw({ type: 'application/json' })` for the route.
 *
 * @param secret secret of the webhook, `whsec_…`
 * @throws TypeError if the secret is missing, or the body is not what arrived
 * @throws Error if the signature is wrong, or if the request is older than 5 minutes. Respond with 400.
 * @see https://www.standardwebhooks.com
 */
export function verifyWebhook<Body = unknown>(
  body: string | Buffer,
  headers: WebhookHeaders,
  secret: string,
): WebhookRequest<Body> {
  if (!secret) throw new TypeError('The secret is missing. Pass the secret that createWebhook returned.');
  if (typeof body !== 'string' && !Buffer.isBuffer(body))
    throw new TypeError(
      "The body must be the text or the bytes that arrived, not parsed JSON. In Express, use express.raw({ type: 'application/json' }).",
    );
  const signed = Object.fromEntries(
    ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, headerOf(headers, name)]),
  );
  const verified = new Webhook(secret).verify(body, signed) as Body;
  return {
    id: headerOf(headers, 'webhook-id'),
    sentAt: new Date(Number(headerOf(headers, 'webhook-timestamp')) * 1_000),
    body: verified,
  };
}

function headerOf(headers: WebhookHeaders, name: string): string {
  const value = isFetchHeaders(headers) ? headers.get(name) : headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? '';
}

function isFetchHeaders(headers: WebhookHeaders): headers is { get(name: string): string | null } {
  return typeof headers.get === 'function';
}
