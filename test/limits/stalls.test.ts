import { once } from 'node:events';
import WebSocket from 'ws';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MAX_STALL_MS, startMeteredServer } from '../support/stall.ts';
import { costlyDocuments, costlyVariables, doublingDocuments } from './hostileDocuments.ts';

/** Number of tokens, slightly below MAX_TOKENS. */
const TOKENS = 1_980;
const doubling = doublingDocuments(TOKENS);
const variables = costlyVariables();
const documents = [...doubling, ...costlyDocuments(TOKENS), ...variables];
/** Maximum length of a response in bytes. Several errors contain a hundred locations each. */
const MAX_ANSWER = 512 * 1024;

/** Posts a document and returns its error codes. Throws if there is no response within ten seconds. */
async function post(url: string, body: object, accept = 'application/json'): Promise<string> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  return response.text();
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

async function subscribe(socket: WebSocket, payload: object): Promise<string> {
  const answered = once(socket, 'message', { signal: AbortSignal.timeout(10_000) }) as Promise<[Buffer]>;
  const id = crypto.randomUUID();
  socket.send(JSON.stringify({ type: 'subscribe', id, payload }));
  const [answer] = await answered;
  socket.send(JSON.stringify({ type: 'complete', id }));
  return answer.toString();
}

describe('a hostile document delays no other client', { timeout: 300_000 }, () => {
  // The same code refuses or executes documents over all transports. Only the start of a subscription differs.
  test.each([
    ['HTTP', documents],
    ['SSE', doubling.filter(({ name }) => name.includes('subscription'))],
    ['WebSocket', [...doubling, ...variables]],
  ])('over %s', async (transport, asked) => {
    const server = await startMeteredServer();
    const socket = await openSocket(server.url);
    expect(asked.length).toBeGreaterThan(1);
    for (const { name, ...body } of asked) {
      const ask = () => {
        if (transport === 'WebSocket') return subscribe(socket, body);
        return post(server.url, body, transport === 'SSE' ? 'text/event-stream' : undefined);
      };
      await server.expectNoStall(name, async () => {
        const answer = await ask();
        expect(answer, name).not.toContain('INTERNAL_SERVER_ERROR');
        expect(answer.length, name).toBeLessThan(MAX_ANSWER);
      });
    }
    expect(server.output()).not.toContain('Unforeseen failure');
  });
});

/** Valid variables for the documents of `costlyVariables`. */
const VALID = { ids: [], input: { chatroomId: 'x', body: 'x' } };

test('hostile variables of a cached operation delay no other client', { timeout: 300_000 }, async () => {
  const server = await startMeteredServer();
  for (const { name, query, variables: hostile } of variables) {
    expect(await post(server.url, { query, variables: VALID }), name).toContain('UNAUTHENTICATED');
    await server.expectNoStall(name, async () => {
      const answer = await post(server.url, { query, variables: { ...VALID, ...hostile } });
      expect(answer, name).toMatch(/BAD_USER_INPUT|UNAUTHENTICATED/);
      expect(answer.length, name).toBeLessThan(2_000);
    });
  }
});

test('many documents in one socket chunk delay no other client', { timeout: 120_000 }, async () => {
  const server = await startMeteredServer();
  const socket = await openSocket(server.url);
  const count = 60;
  let answers = 0;
  socket.on('message', () => (answers += 1));
  const query = (i: number) => `{ ${Array.from({ length: 120 }, (_, j) => `u${j}x${i}`).join(' ')} }`;
  await server.expectNoStall('a chunk of documents', async () => {
    answers = 0;
    for (let i = 0; i < count; i += 1)
      socket.send(JSON.stringify({ type: 'subscribe', id: crypto.randomUUID(), payload: { query: query(i) } }));
    await expect.poll(() => answers, { timeout: 30_000 }).toBe(count);
  });
});

test('the meter detects a stall by probe and event loop', { timeout: 120_000 }, async () => {
  const server = await startMeteredServer();
  const { probeMs, loopMs } = await server.measure(() => server.block(400));
  expect(probeMs).toBeGreaterThan(MAX_STALL_MS);
  expect(loopMs).toBeGreaterThan(MAX_STALL_MS);
  await expect(server.expectNoStall('a block of 300 ms', () => server.block(300))).rejects.toThrow(/held up/);
});
