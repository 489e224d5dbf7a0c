import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '../core/config/settings.ts';
import type { ServerNode } from '../core/context.ts';
import { ChatError } from '../core/errors.ts';
import { findIncomingWebhook, receiveWebhookMessage } from '../features/incomingWebhooks/incomingWebhooks.ts';
import { clientOf } from '../graphql/transport.ts';

/** Maximum size of a request, in bytes. A larger one is refused with 413. */
const MAX_BYTES = 100 * 1_024;

/** A response that refuses a request, with a sentence for people. */
class Refusal extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message);
    [this.status, this.headers] = [status, headers];
  }
}

/** The same for a token that never existed and one that was deleted. */
const notFound = () => new Refusal(404, 'There is no such webhook.');
const tooLarge = () =>
  new Refusal(413, 'The request has more than 100 KB. Send less.', {
    // The rest of the request is not read.
    connection: 'close',
  });

/** Serves `POST /hooks/TOKEN`: stores the message, and responds with its number. */
export async function serveIncomingWebhook(
  config: Config,
  node: ServerNode,
  request: IncomingMessage,
  response: ServerResponse,
  token: string,
): Promise<void> {
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  try {
    const number = await receive(config, node, request, token);
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify({ number })}\n`);
  } catch (error) {
    const { status, message, headers } = refusalOf(error);
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers }).end(`${message}\n`);
  }
}

async function receive(config: Config, node: ServerNode, request: IncomingMessage, token: string): Promise<number> {
  if (request.method !== 'POST') throw new Refusal(405, 'Send the message with POST.', { allow: 'POST' });
  // Charged before the token is looked up, so that tokens cannot be guessed at the cost of the database.
  const client = clientOf(config, request);
  await node.rateLimits.chargeCredential({ viewer: null, service: null, client }, 'incoming-webhook');
  const webhook = await findIncomingWebhook(node, token);
  if (!webhook) throw notFound();
  await node.rateLimits.chargeIncomingWebhook(webhook.id);
  const parse = parserOf(request.headers['content-type'] ?? '');
  const content = parse(await readText(request));
  const key = request.headers['idempotency-key'];
  return receiveWebhookMessage(node, webhook, content, key === undefined ? null : String(key));
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (!(error instanceof ChatError)) throw error;
  switch (error.code) {
    case 'BAD_USER_INPUT':
      return new Refusal(400, error.message);
    case 'CONFLICT':
      return new Refusal(409, 'This Idempotency-Key was sent with another body. Use a new one for each message.');
    case 'NOT_FOUND':
      return notFound();
    case 'RATE_LIMITED': {
      const seconds = Math.ceil(Number(error.details['retryAfterMs']) / 1_000);
      return new Refusal(429, error.message, { 'retry-after': String(seconds) });
    }
    default:
      throw error;
  }
}

/**
 * Returns the function that parses a request. Some programs that post to Slack send a form with the JSON in `payload`.
 *
 * @throws Refusal 415
 */
function parserOf(contentType: string): (text: string) => unknown {
  if (/^application\/json\b/i.test(contentType)) return parseJson;
  if (/^application\/x-www-form-urlencoded\b/i.test(contentType))
    return (text) => parseJson(new URLSearchParams(text).get('payload') ?? '');
  throw new Refusal(415, 'Send JSON, with the header "Content-Type: application/json".');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, 'The request is not JSON. Send {"body": "a text"}.');
  }
}

async function readText(request: IncomingMessage): Promise<string> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  // Not a `for await` loop: leaving the loop would close the connection before the response is sent.
  await new Promise<void>((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BYTES) reject(tooLarge());
      else chunks.push(chunk);
    });
    request.on('end', resolve);
    request.on('close', () => {
      reject(new Refusal(400, 'The request ended before it was complete. Send it again.'));
    });
  });
  const bytes = Buffer.concat(chunks);
  if (!isUtf8(bytes)) throw new Refusal(400, 'The request is not UTF-8. Encode it as UTF-8.');
  return bytes.toString();
}
