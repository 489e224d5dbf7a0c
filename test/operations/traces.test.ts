import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startTracing } from '../../src/platform/observability/tracing.ts';
import { request } from '../support/client.ts';
import { serve } from '../support/providers.ts';
import { hasRedis, startRedis } from '../support/redis.ts';
import { startTestServer } from '../support/server.ts';
import { MESSAGE_ADDED, SEND, world } from '../support/world.ts';

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  attributes: { key: string; value: { stringValue?: string } }[];
  /** Node that reported the span. */
  node: string;
}

/** Starts a collector that receives traces as OTLP over HTTP, in JSON. */
async function startCollector() {
  const spans: Span[] = [];
  const bodies: string[] = [];
  const endpoint = await serve(({ path, body }) => {
    expect(path).toBe('/v1/traces');
    bodies.push(body.toString());
    for (const { resource, scopeSpans } of JSON.parse(body.toString()).resourceSpans) {
      const version = resource.attributes.find(({ key }: { key: string }) => key === 'service.version');
      for (const { spans: told } of scopeSpans)
        spans.push(...told.map((span: Span) => ({ ...span, node: version.value.stringValue as string })));
    }
    return { status: 200 };
  });
  return { endpoint, spans, bodies };
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

async function startTraced(endpoint: string, version: string, options: Parameters<typeof startTestServer>[0] = {}) {
  const tracing = await startTracing({ endpoint, ratio: 0, version });
  onTestFinished(() => tracing.stop());
  return { tracing, ...(await startTestServer({ ...options, tracing })) };
}

/** Returns the names of a span and its ancestors. */
function wayOf(spans: Span[], span: Span | undefined): string[] {
  if (!span) return [];
  return [
    `${span.name} @${span.node}`,
    ...wayOf(
      spans,
      spans.find(({ spanId }) => spanId === span.parentSpanId),
    ),
  ];
}

describe.skipIf(!hasRedis())('a trace', () => {
  test('spans GraphQL, SQL and the frame written by another node', async () => {
    const { endpoint, spans, bodies } = await startCollector();
    const redisUrl = (await startRedis()).url;
    const one = await startTraced(endpoint, 'one', { redisUrl });
    const two = await startTraced(endpoint, 'two', { redisUrl, databaseUrl: one.databaseUrl });
    const { ann, ben, room } = await world(one);
    const stream = ben.at(two.url).connect().subscribe(MESSAGE_ADDED, { room });
    await stream.ready();
    // Until the other node has subscribed to the room in Redis, it finds the message by polling, without a trace.
    const variables = { input: { chatroomId: room, body: 'a text that no collector is told' } };
    const headers = { authorization: `Bearer ${ann.accessToken}`, traceparent: TRACEPARENT };
    await expect
      .poll(async () => {
        expect((await request(one.url, SEND, variables, headers)).errors).toBeUndefined();
        await stream.next();
        await Promise.all([one.tracing.flush(), two.tracing.flush()]);
        return spans.some(({ name }) => name === 'write frame');
      })
      .toBe(true);

    const statement = spans.find(({ attributes }) =>
      attributes.some(
        ({ key, value }) => key === 'db.query.text' && value.stringValue?.includes('FROM store_messages('),
      ),
    );
    expect(wayOf(spans, statement)).toEqual(['SELECT @one', 'sendMessage @one', 'POST /graphql @one']);
    const frame = spans.find(({ name }) => name === 'write frame');
    expect(wayOf(spans, frame)).toEqual([
      ...['write frame @two', 'deliver messageAdded @two'],
      ...['sendMessage @one', 'POST /graphql @one'],
    ]);
    // Requests without a trace start none, because the ratio is 0.
    expect([...new Set(spans.map(({ traceId }) => traceId))]).toEqual([TRACE]);
    expect(bodies.join('')).not.toContain('a text that no collector is told');
    expect(bodies.join('')).not.toContain(ann.accessToken);
  });
});

test('an operation over WebSocket continues the trace of its extensions', async () => {
  const { endpoint, spans } = await startCollector();
  const server = await startTraced(endpoint, 'one');
  const { ann, room } = await world(server);
  const { client } = ann.connect();
  const answers = client.iterate({
    query: SEND,
    variables: { input: { chatroomId: room, body: 'over the socket' } },
    extensions: { traceparent: TRACEPARENT },
  });
  for await (const { errors } of answers) expect(errors).toBeUndefined();
  await server.tracing.flush();
  expect(
    wayOf(
      spans,
      spans.find(({ name }) => name === 'SELECT'),
    ),
  ).toEqual(['SELECT @one', 'sendMessage @one']);
});

test('an unreachable collector and an invalid header have no effect', async () => {
  const server = await startTraced('http://127.0.0.1:1', 'one');
  const { ann } = await world(server);
  for (const traceparent of ['nonsense', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`, TRACEPARENT]) {
    const { errors } = await request(
      server.url,
      '{ viewer { id } }',
      {},
      { authorization: `Bearer ${ann.accessToken}`, traceparent },
    );
    expect(errors).toBeUndefined();
  }
});

test('tracing loads its libraries only if a collector is set', async () => {
  const folder = new URL('../../src/', import.meta.url);
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.ts'));
  const importing = await Promise.all(
    files.map(async (name) => {
      const text = await readFile(new URL(name, folder), 'utf8');
      return /^import (?!type )[^;]*from '(@opentelemetry\/|[./]+tracing\.ts)/m.test(text) ? [name] : [];
    }),
  );
  expect(importing.flat()).toEqual([]);
  expect(await readFile(new URL('main.ts', folder), 'utf8')).toContain(
    "await import('./platform/observability/tracing.ts')",
  );
});
