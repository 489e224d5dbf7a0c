import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { parse, print } from 'graphql';
import { expect, onTestFinished, test } from 'vitest';
import { DEFAULT_DOCUMENT } from '../src/features/webhooks/events.ts';
import { freePort } from './support/ports.ts';
import { startTestServer } from './support/server.ts';
import { ALLOW, CREATE_WEBHOOK, openShop, SHORT } from './support/webhooks.ts';
import { send, world } from './support/world.ts';

test('the receiver of the documentation accepts events once, and refuses forgeries', async () => {
  const server = await startTestServer({ env: ALLOW, webhooks: SHORT });
  const { ann, room } = await world(server);
  const shop = await openShop(server);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/`;
  const input = { name: 'shop', url, events: ['MESSAGE_ADDED'] };
  const { secret, webhook } = (await shop.ask(CREATE_WEBHOOK, { input })).data.createWebhook;
  const env = { PATH: process.env['PATH'], PORT: String(port), WEBHOOK_SECRET: secret };
  const receiver = spawn(process.execPath, ['examples/webhooks/receiver.mjs'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(async () => {
    receiver.kill('SIGKILL');
    await once(receiver, 'close');
  });
  let output = '';
  receiver.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  receiver.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));

  await send(ann, room, 'hello');
  await expect.poll(() => output).toContain('"body":"hello"');
  const { seq } = JSON.parse(output).data.chatroomEvents;
  const again = `mutation ($id: ID!, $room: ID!, $seq: Int!) { redeliver(input: { webhookId: $id, chatroomId: $room, seq: $seq }) { status } }`;
  const { data } = await shop.ask(again, { id: webhook.id, room, seq });
  expect(data.redeliver.status).toBe(204);
  expect(output.trim().split('\n').length).toBe(1);
  const headers = { 'webhook-id': 'x:1', 'webhook-timestamp': String(Math.floor(Date.now() / 1_000)) };
  const forged = { method: 'POST', body: '{}', headers: { ...headers, 'webhook-signature': 'v1,AAAA' } };
  expect((await fetch(url, forged)).status).toBe(400);
});

test('the documentation shows the default document', () => {
  const page = readFileSync('docs/webhooks.md', 'utf8');
  const documents = [...page.matchAll(/```graphql\n([^]*?)```/g)].map(([, document = '']) => print(parse(document)));
  expect(documents).toContain(print(parse(DEFAULT_DOCUMENT)));
});
