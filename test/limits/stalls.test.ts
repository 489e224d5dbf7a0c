import { once } from 'node:events';
import WebSocket from 'ws';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MAX_STALL_MS, startMeteredServer } from '../support/stall.ts';
import { doublingDocuments } from './hostileDocuments.ts';

const documents = doublingDocuments(990);

/** Posts a document, and fails if it is not answered in two seconds. */
async function post(url: string, body: object, accept = 'application/json'): Promise<void> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  await response.text();
}

async function openSocket(url: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  onTestFinished(() => {
    socket.terminate();
  });
  await once(socket, 'open');
  socket.send('{"type":"connection_init"}');
  await once(socket, 'message');
  return socket;
}

async function subscribe(socket: WebSocket, payload: object): Promise<void> {
  const answered = once(socket, 'message', { signal: AbortSignal.timeout(10_000) });
  const id = crypto.randomUUID();
  socket.send(JSON.stringify({ type: 'subscribe', id, payload }));
  await answered;
  socket.send(JSON.stringify({ type: 'complete', id }));
}

describe('a hostile document keeps no other client waiting', { timeout: 120_000 }, () => {
  test('over HTTP, SSE and WebSocket', async () => {
    const server = await startMeteredServer();
    const socket = await openSocket(server.url);
    for (const { name, ...body } of documents) {
      await server.expectNoStall(`${name}, over HTTP`, () => post(server.url, body));
      await server.expectNoStall(`${name}, over SSE`, () => post(server.url, body, 'text/event-stream'));
      await server.expectNoStall(`${name}, over WebSocket`, () => subscribe(socket, body));
    }
  });
});

test('the meter sees a stall, as another client and in the event loop', async () => {
  const server = await startMeteredServer();
  const { probeMs, loopMs } = await server.measure(() => server.block(400));
  expect(probeMs).toBeGreaterThan(MAX_STALL_MS);
  expect(loopMs).toBeGreaterThan(MAX_STALL_MS);
  await expect(server.expectNoStall('a block of 300 ms', () => server.block(300))).rejects.toThrow(/another client/);
});
