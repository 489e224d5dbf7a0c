import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { expect, onTestFinished } from 'vitest';
import { createServiceToken } from '../../src/auth/serviceTokens.ts';
import { type GraphQLResult, request } from './client.ts';
import type { TestServer } from './server.ts';

/** Setting that lets webhooks reach the receivers of the tests. */
export const ALLOW = { WEBHOOK_ALLOW: '127.0.0.1' };
/** Times of webhooks that keep tests short. */
export const SHORT = { firstDelayMs: 50, maxDelayMs: 400 };

export const CREATE_WEBHOOK = `mutation ($input: CreateWebhookInput!) {
  createWebhook(input: $input) { secret webhook { id } }
}`;

/** A request that a receiver has accepted or refused. */
export interface Received {
  id: string;
  body: any;
  headers: IncomingMessage['headers'];
  /** Raw body, for a check of the signature. */
  text: string;
}

export interface Receiver {
  url: string;
  /** All requests whose signatures are valid, in the order of their arrival. */
  received: Received[];
  /** Secret with which requests must be signed. */
  secret: string;
  /** Responds to a request. By default with 204. */
  respond: (received: Received, response: ServerResponse) => void;
  /** Errors of the signature check. */
  invalid: string[];
  /** Ends all connections, and refuses new ones for a moment, as if the receiver was restarted. */
  interrupt: () => void;
}

/** Starts a receiver that checks each request with the library of Standard Webhooks. It ends with the test. */
export async function startReceiver(): Promise<Receiver> {
  const receiver: Receiver = {
    url: '',
    received: [],
    secret: '',
    invalid: [],
    interrupt: () => undefined,
    respond: (_, response) => void response.writeHead(204).end(),
  };
  const server = createServer((incoming, response) => {
    void receive(receiver, incoming, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  receiver.interrupt = () => {
    server.close(() => server.listen(port, '127.0.0.1'));
    server.closeAllConnections();
  };
  receiver.url = `http://127.0.0.1:${port}/hook`;
  return receiver;
}

async function receive(receiver: Receiver, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  try {
    const body = new Webhook(receiver.secret).verify(text, incoming.headers as Record<string, string>);
    const received = { id: String(incoming.headers['webhook-id']), body, headers: incoming.headers, text };
    receiver.received.push(received);
    receiver.respond(received, response);
  } catch (error) {
    receiver.invalid.push((error as Error).message);
    response.writeHead(401).end();
  }
}

/** A service that may have webhooks. */
export interface Shop {
  token: string;
  ask(query: string, variables?: object): Promise<GraphQLResult>;
  /** Creates a webhook that sends to a receiver, and returns its id. */
  create(receiver: Receiver, input?: object): Promise<string>;
}

/** Creates a service token with the scope `webhooks:write`. */
export async function openShop({ url, node }: Pick<TestServer, 'url' | 'node'>, name = 'shop'): Promise<Shop> {
  const token = await createServiceToken(node.database, name, ['webhooks:write']);
  const headers = { authorization: `Bearer ${token}` };
  let webhooks = 0;
  const ask: Shop['ask'] = (query, variables = {}) => request(url, query, variables, headers);
  return {
    token,
    ask,
    async create(receiver, input = {}) {
      webhooks += 1;
      const settings = { name: `hook ${webhooks}`, url: receiver.url, events: ['MESSAGE_ADDED'], ...input };
      const { data, errors } = await ask(CREATE_WEBHOOK, { input: settings });
      expect(errors).toBeUndefined();
      receiver.secret = data.createWebhook.secret;
      return data.createWebhook.webhook.id;
    },
  };
}

/** Returns the bodies of the messages that a receiver has got, each once, in the order of their first arrival. */
export function bodiesOf({ received }: Receiver): string[] {
  const first = new Map(received.map(({ id, body }) => [id, body]));
  return [...first.values()].map((body) => (body.data.chatroomEvents ?? body.data.messageAdded).message.body);
}

/** Returns the positions of the events of a room that a receiver has got, each once, in the order of their first arrival. */
export function seqsOf({ received }: Pick<Receiver, 'received'>, room: string): number[] {
  const ids = new Set(received.map(({ id }) => id));
  return [...ids].filter((id) => id.startsWith(`${room}:`)).map((id) => Number(id.slice(room.length + 1)));
}
