import { describe, expect, test } from 'vitest';
import { bearer, codesOf, type GraphQLResult, request, signUp } from '../support/client.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';

/** One refused document of each kind. The number makes each document new to the server. */
const REFUSED: Record<string, (i: number) => string> = {
  'a syntax error': (i) => `{ a${i}`,
  'an unknown field': (i) => `{ nothing${i} }`,
  'a document with too many tokens': (i) => `{ ${`a${i} `.repeat(2_000)} }`,
  'a document that is too deep': (i) => `query Q${i} ${'{ viewer '.repeat(13)} { id } ${'}'.repeat(13)}`,
  'a circle of fragments': (i) => `query Q${i} { ...F } fragment F on Query { ...F }`,
  'an operation that is too complex': (i) =>
    `query Q${i} { viewer { chatrooms(first: 100) { nodes { messages(first: 100) { nodes { id } } } } } }`,
};
/** A valid document that is new to the server. It is not validated for a sender without points. */
const unknownQuery = (i: number) => `query Valid${i} { __typename }`;

type Ask = (query: string) => Promise<GraphQLResult>;

/** Sends refused documents until the sender has no points left. Returns the number of documents that were examined. */
async function spend(ask: Ask, document: (i: number) => string): Promise<number> {
  for (let i = 0; i < 100; i += 1) {
    const [code] = codesOf(await ask(document(i)));
    if (code === 'RATE_LIMITED') return i;
    expect(['BAD_USER_INPUT', 'QUERY_TOO_COMPLEX'], document(i).slice(0, 60)).toContain(code);
  }
  throw new Error('It was never refused.');
}

describe.each(['HTTP', 'WebSocket'])('over %s', (transport) => {
  test.each(Object.entries(REFUSED))('%s costs points, and is refused unparsed without any left', async (_, make) => {
    const databaseUrl = await createTestDatabase();
    const free = await startTestServer({ databaseUrl });
    const [ann, ben] = [await signUp(free.url, 'ann'), await signUp(free.url, 'ben')];
    const { url } = await startTestServer({ databaseUrl, env: { RATE_LIMITS: 'on', RATE_PER_USER: '50' } });
    const socket = ann.at(url).connect();
    const ask: Ask = (query) => (transport === 'HTTP' ? request(url, query, {}, bearer(ann)) : socket.ask(query));
    // A document that costs more than the last point is still examined.
    expect(await spend(ask, make)).toBeLessThanOrEqual(51);
    // The document is not even parsed, because a syntax error would be BAD_USER_INPUT.
    const { errors } = await ask('{ {');
    expect(errors).toMatchObject([{ extensions: { code: 'RATE_LIMITED' } }]);
    expect(errors?.[0]?.extensions['retryAfterMs']).toBeGreaterThan(0);
    expect(codesOf(await ask(unknownQuery(1)))).toEqual(['RATE_LIMITED']);
    // Other users and signed-out clients of the same address continue.
    expect(codesOf(await request(url, unknownQuery(2), {}, bearer(ben)))).toEqual([]);
    expect(codesOf(await request(url, unknownQuery(3)))).toEqual([]);
  });
});

test('a signed-out sender of refused documents harms no other user', async () => {
  const databaseUrl = await createTestDatabase();
  const free = await startTestServer({ databaseUrl });
  const ann = await signUp(free.url, 'ann');
  const { url } = await startTestServer({ databaseUrl, env: { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '200' } });
  const SIGN_IN = 'mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }';
  const signIn = () => request(url, SIGN_IN, { input: { usernameOrEmail: 'ann', password: 'correct horse' } });
  expect(codesOf(await signIn())).toEqual([]);
  await spend((query) => request(url, query), REFUSED['a document with too many tokens'] ?? String);
  expect(codesOf(await request(url, unknownQuery(1)))).toEqual(['RATE_LIMITED']);
  expect(codesOf(await request(url, unknownQuery(2), {}, bearer(ann)))).toEqual([]);
  expect(codesOf(await request(url, 'query A { nothing }', {}, bearer(ann)))).toEqual(['BAD_USER_INPUT']);
  // A known document costs nothing to look up.
  expect(codesOf(await signIn())).toEqual([]);
});

test('a sender without points can still have a sign-in document validated', async () => {
  const { url } = await startTestServer({ env: { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '3' } });
  for (let i = 0; i < 3; i += 1) expect(codesOf(await request(url, unknownQuery(0)))).toEqual([]);
  expect(codesOf(await request(url, unknownQuery(0)))).toEqual(['RATE_LIMITED']);
  const signIn = 'mutation { signIn(input: { usernameOrEmail: "nobody", password: "x" }) { accessToken } }';
  expect(codesOf(await request(url, signIn))).not.toEqual([]);
  expect(
    codesOf(await request(url, 'mutation { signIn(input: { usernameOrEmail: "nobody" }) { accessToken } }')),
  ).toEqual(['BAD_USER_INPUT']);
});

test('a forged token charges the network, not the named user', async () => {
  const databaseUrl = await createTestDatabase();
  const free = await startTestServer({ databaseUrl });
  const ann = await signUp(free.url, 'ann');
  const env = { RATE_LIMITS: 'on', RATE_PER_USER: '20', RATE_PER_ADDRESS: '20' };
  const { url } = await startTestServer({ databaseUrl, env });
  const forged = { authorization: `Bearer ${ann.accessToken.slice(0, -4)}AAAA` };
  await spend((query) => request(url, query, {}, forged), REFUSED['an unknown field'] ?? String);
  expect(codesOf(await request(url, unknownQuery(1), {}, bearer(ann)))).toEqual([]);
});

test('a document costs by its length only the first time', async () => {
  const databaseUrl = await createTestDatabase();
  const free = await startTestServer({ databaseUrl });
  const ann = await signUp(free.url, 'ann');
  // The 2,000 tokens cost 40 points, and each query costs 1.
  const { url } = await startTestServer({ databaseUrl, env: { RATE_LIMITS: 'on', RATE_PER_USER: '45' } });
  const long = `{ nodes(ids: [${'"x" '.repeat(1_980)}]) { id } }`;
  // The field refuses the list as too long, which only the execution detects.
  for (let i = 0; i < 6; i += 1) expect(codesOf(await request(url, long, {}, bearer(ann)))).toEqual(['BAD_USER_INPUT']);
  expect(codesOf(await request(url, long, {}, bearer(ann)))).toEqual(['RATE_LIMITED']);
});
