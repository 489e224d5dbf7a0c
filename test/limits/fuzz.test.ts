import { once } from 'node:events';
import { Writable } from 'node:stream';
import fc from 'fast-check';
import { pino } from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import WebSocket from 'ws';
import { buildSchema } from '../../src/features/schema.ts';
import { connect, type Person, signUp } from '../support/client.ts';
import { SEED } from '../support/seed.ts';
import { startTestServer } from '../support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, send } from '../support/world.ts';
import { operations, type Operation } from './documents.ts';

// FUZZ_RUNS=10000 runs all of them. fast-check prints the seed of a failure, and SEED=… repeats it.
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 1_500);
const WHOLE = process.env['FUZZ_RUNS'] !== undefined;
const LONGEST_MS = 40_000;
/** Number of operations after which earlier operations have deleted most of the data. */
const RENEWED_AFTER = 200;

/** Texts that only occur inside the program. */
const LEAK =
  /node_modules|\bat .+:\d+:\d+|prisma|postgres|syntax error at|invalid input syntax|violates|byte sequence|relation "/i;

/** Starts a server. Returns it with its logged errors. */
async function startWatched() {
  const complaints: string[] = [];
  // Libraries without access to the log print to the console.
  const printing = vi.spyOn(console, 'error').mockImplementation((...printed) => void complaints.push(String(printed)));
  onTestFinished(() => {
    printing.mockRestore();
  });
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      complaints.push(chunk.toString());
      done();
    },
  });
  return { server: await startTestServer({ log: pino({ level: 'error' }, stream) }), complaints };
}

/** Creates a user with a room and a message. Returns every id and name that an operation can use. */
async function newcomer(url: string, name: string): Promise<{ person: Person; known: string[] }> {
  const [person, friend] = [await signUp(url, name), await signUp(url, `${name}-friend`)];
  const { createChatroom } = await person.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [friend.id] } });
  const message = await send(person, createChatroom.chatroom.id, 'hello');
  const { viewer, users } = await person.ask(
    '{ viewer { id cursor sessions { nodes { id } } } users(first: 1) { pageInfo { endCursor } } }',
  );
  const known = [person.id, friend.id, name, createChatroom.chatroom.id, createChatroom.chatroom.cursor, message.id];
  return {
    person,
    known: [...known, message.cursor, viewer.id, viewer.cursor, viewer.sessions.nodes[0].id, users.pageInfo.endCursor],
  };
}

async function askOverHttp({ url, accessToken }: Person, operation: Operation): Promise<string> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
    body: JSON.stringify(operation),
    signal: AbortSignal.timeout(15_000),
  });
  // A stream has no end, so its body is not read.
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
  if (isStream) await response.body?.cancel();
  expect([200, 400, 405, 406, 413], JSON.stringify(operation)).toContain(response.status);
  return isStream ? '' : response.text();
}

/** Runs an operation over the socket. If it is still running after a later query has succeeded, it is unsubscribed. */
async function askOverSocket(socket: ReturnType<typeof connect>, operation: Operation): Promise<string> {
  const told: unknown[] = [];
  const { query, variables } = operation;
  await new Promise<void>((resolve) => {
    const listen = (result: unknown) => told.push(result);
    const stop = socket.client.subscribe(
      { query, variables },
      { next: listen, error: (e) => (listen(e), resolve()), complete: resolve },
    );
    if (query.includes('subscription')) void socket.ask('{ __typename }').then(stop, stop);
  });
  return JSON.stringify(told);
}

test(
  'random operations succeed or are refused, without internal details',
  { timeout: WHOLE ? 1_800_000 : LONGEST_MS + 60_000 },
  async () => {
    const { server, complaints } = await startWatched();
    let { person, known } = await newcomer(server.url, 'fuzz-0');
    let socket = person.connect();
    const times: number[] = [];
    const codes = new Map<string, number>();
    // Signing out would end the session for all later operations.
    const leaveOut = ['signOut'];
    // A random revokeSession may end the session as well, rarely.
    let ended = false;
    const property = fc.asyncProperty(
      operations(buildSchema(), { leaveOut, known: () => known }),
      fc.boolean(),
      async (operation, overSocket) => {
        if (ended || times.length % RENEWED_AFTER === RENEWED_AFTER - 1) {
          ended = false;
          ({ person, known } = await newcomer(server.url, `fuzz-${times.length}`));
          await socket.client.dispose();
          socket = person.connect();
        }
        const began = performance.now();
        const text = await (overSocket ? askOverSocket(socket, operation) : askOverHttp(person, operation));
        times.push(performance.now() - began);
        ended ||= text.includes('"code":"UNAUTHENTICATED"');
        for (const [, code = ''] of text.matchAll(/"code":"(\w+)"/g)) codes.set(code, (codes.get(code) ?? 0) + 1);
        if (!text.includes('"errors"') && !text.includes('"code"')) codes.set('OK', (codes.get('OK') ?? 0) + 1);
        expect(text).not.toContain('"code":"INTERNAL_SERVER_ERROR"');
        expect(text).not.toMatch(LEAK);
        expect(complaints).toEqual([]);
      },
    );
    await fc.assert(property, {
      numRuns: RUNS,
      ...(WHOLE ? {} : { interruptAfterTimeLimit: LONGEST_MS, markInterruptAsFailure: false }),
    });
    // Precondition: many operations reached the fields, and there were several kinds of refusals.
    expect(codes.get('OK')).toBeGreaterThan(times.length / 50);
    expect(codes.size).toBeGreaterThan(4);
    expect((await signUp(server.url, 'after')).username).toBe('after');
    const sorted = times.toSorted((a, b) => a - b);
    const at = (part: number) => `${(sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(1)} ms`;
    if (WHOLE)
      process.stdout.write(
        `${times.length} operations (seed ${SEED}): p50 ${at(0.5)}, p99 ${at(0.99)}, at most ${at(0.9999)}; ${JSON.stringify(Object.fromEntries(codes))}\n`,
      );
  },
);

test('broken frames close at most their own socket, unlogged', { timeout: LONGEST_MS + 60_000 }, async () => {
  const { server, complaints } = await startWatched();
  const { person, known } = await newcomer(server.url, 'ann');
  const room = known[3] ?? '';
  const stream = person.connect().subscribe(MESSAGE_ADDED, { room });
  await stream.ready();

  const init = { type: 'connection_init', payload: { authorization: `Bearer ${person.accessToken}` } };
  const type = fc.constantFrom(
    'subscribe',
    'complete',
    'ping',
    'pong',
    'next',
    'error',
    'connection_init',
    'connection_ack',
    '',
    'x',
  );
  const payload = fc.oneof(
    fc.record({
      query: fc.constantFrom('{ __typename }', '{', '', '\0', '{ viewer { id } }', `{ ${'a '.repeat(2_000)} }`),
    }),
    fc.anything({ maxDepth: 2 }),
  );
  const message = fc.record(
    {
      type: fc.oneof(type, fc.anything({ maxDepth: 1 })),
      id: fc.oneof(fc.constantFrom('1', '', '2'), fc.anything({ maxDepth: 1 })),
      payload,
    },
    { requiredKeys: ['type'] },
  );
  const json = (value: unknown) =>
    JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each)) ?? '';
  const frame: fc.Arbitrary<string | Uint8Array> = fc.oneof(
    { weight: 5, arbitrary: message.map(json) },
    { weight: 2, arbitrary: fc.string({ maxLength: 50 }) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 50 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('x'.repeat(64 * 1_024 + 1), '[', 'null', '7', '"ping"', '\0', '{"type":"subscribe"}'),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(frame, { minLength: 1, maxLength: 4 }), async (begins, frames) => {
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
      let text = '';
      socket.on('message', (data: Buffer) => (text += data.toString()));
      socket.on('error', () => undefined);
      await once(socket, 'open');
      if (begins) socket.send(json(init));
      for (const each of frames) socket.send(each);
      const closed = once(socket, 'close');
      // The socket is closed or still responds.
      const pong = new Promise<void>((resolve) =>
        socket.on('message', (data: Buffer) => data.toString().includes('"pong"') && resolve()),
      );
      socket.send('{"type":"ping"}');
      await Promise.race([closed, pong]);
      socket.terminate();
      expect(text).not.toMatch(LEAK);
      expect(text).not.toContain('INTERNAL_SERVER_ERROR');
    }),
    { numRuns: WHOLE ? 1_000 : 200, interruptAfterTimeLimit: LONGEST_MS, markInterruptAsFailure: false },
  );
  await send(person, room, 'still here');
  expect((await stream.next()).message.body).toBe('still here');
  expect(complaints).toEqual([]);
});

test('a megabyte value is refused over both transports, harming nobody', async () => {
  const { server, complaints } = await startWatched();
  const { person } = await newcomer(server.url, 'ann');
  const query = 'query ($x: String) { users(search: $x) { nodes { id } } }';
  const variables = { x: 'x'.repeat(1_000_000) };
  expect(await askOverHttp(person, { query, variables })).toContain('BAD_USER_INPUT');
  const socket = person.connect();
  socket.client.subscribe(
    { query, variables },
    { next: () => undefined, error: () => undefined, complete: () => undefined },
  );
  expect(await socket.closed).toBe(1009);
  expect((await person.ask('{ viewer { user { username } } }')).viewer.user.username).toBe('ann');
  expect(complaints).toEqual([]);
});
