import { createHmac, randomBytes } from 'node:crypto';

/** Prefix of a secret in the format of Standard Webhooks. */
const PREFIX = 'whsec_';
/** Number of random bytes of a secret. Standard Webhooks asks for 24 to 64. */
const SECRET_BYTES = 32;

/** Secrets with which a body is signed. */
export interface SigningSecrets {
  secret: string;
  /** Former secret, while it is valid. Null if there is none. */
  previousSecret: string | null;
}

/** Returns a new random secret: `whsec_` and base64. */
export function createWebhookSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64');
}

/**
 * Returns the headers of a request as https://www.standardwebhooks.com defines them. While a former secret is valid, the
 * header has two signatures, so that receivers with either secret accept the request.
 *
 * @param id the same for each attempt of an event
 * @param at time of the attempt; receivers refuse requests whose time differs by more than five minutes
 */
export function signatureHeaders(
  { secret, previousSecret }: SigningSecrets,
  id: string,
  body: string,
  at = new Date(),
): Record<string, string> {
  const timestamp = String(Math.floor(at.getTime() / 1_000));
  const signatures = [secret, ...(previousSecret === null ? [] : [previousSecret])].map(
    (each) => `v1,${sign(each, `${id}.${timestamp}.${body}`)}`,
  );
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}

function sign(secret: string, content: string): string {
  return createHmac('sha256', Buffer.from(secret.slice(PREFIX.length), 'base64'))
    .update(content)
    .digest('base64');
}
