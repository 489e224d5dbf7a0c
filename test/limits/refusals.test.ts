import { describe, expect, test } from 'vitest';
import { bearer, codesOf, type GraphQLResult, request, signUp } from '../support/client.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';

/** One document of each kind that is refused. A number makes each one new to the server. */
const REFUSED: Record<string, (i: number) => string> = {
  'a syntax error': (i) => `{ a${i}`,
  'an unknown field': (i) => `{ nothing${i} }`,
  'a document with too many tokens': (i) => `{ ${`a${i} `.repeat(2_000)} }`,
  'a document that is too deep': (i) => `query Q${i} ${'{ viewer '.repeat(13)} { id } ${'}'.repeat(13)}`,
  'a circle of fragments': (i) => `query Q${i} { ...F } fragment F on Query { ...F }`,
  'an operation that is too complex': (i) =>
    `query Q${i} { viewer { chatrooms(first: 100) { nodes { messages(first: 100) { nodes { id } } } } } }`,
};
/** Valid, and new to the server: a sender without points cannot have it validated. */
const unknownQuery = (i: number) => `query Valid${i} { __typename }`;

type Ask = (query: string) => Promise<GraphQLResult>;

/** Sends refused documents until the sender has no points left, and returns how many were looked at. */
async function spend(ask: Ask, document: (i: number) => string): Promise<number> {
  for (let i = 0; i < 100; i += 1) {
    const [code] = codesOf(await ask(document(i)));
    if (code === 'RATE_LIMITED') return i;
    expect(['BAD_USER_INPUT', 'QUERY_TOO_COMPLEX'], document(i).slice(0, 60)).toContain(code);
  }
  throw new Error('It was never refused.');
}

describe.each(['HTTP', 'WebSocket'])('over %s', (transport) => {
  test.each(Object.entries(REFUSED))('%s is charged, and refused unseen once the points are spent', async (_, make) => {
    const databaseUrl = await createTestDatabase();
    const free = await startTestServer({ databaseUrl });
    const [ann, ben] = [await signUp(free.url, 'ann'), await signUp(free.url, 'ben')];
    const { url } = await startTestServer({ databaseUrl, env: { RATE_LIMITS: 'on', RATE_PER_USER: '50' } });
    const socket = ann.at(url).connect();
    const ask: Ask = (query) => (transport === 'HTTP' ? request(url, query, {}, bearer(ann)) : socket.ask(query));
    // The document that takes the last point and more is still looked at.
    expect(await spend(ask, make)).toBeLessThanOrEqual(51);
    // Not even parsed: a syntax error would be BAD_USER_INPUT.
    const { errors } = await ask('{ {');
    expect(errors).toMatchObject([{ extensions: { code: 'RATE_LIMITED' } }]);
    expect(errors?.[0]?.extensions['retryAfterMs']).toBeGreaterThan(0);
    expect(codesOf(await ask(unknownQuery(1)))).toEqual(['RATE_LIMITED']);
    // Another user of the same address, and signed-out clients of it, go on.
    expect(codesOf(await request(url, unknownQuery(2), {}, bearer(ben)))).toEqual([]);
    expect(codesOf(await request(url, unknownQuery(3)))).toEqual([]);
  });
});

test('a signed-out sender of refused documents hurts nobody who signs in or is signed in at its address', async () => {
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
  // A document that the server knows costs nothing to look up.
  expect(codesOf(await signIn())).toEqual([]);
});

test('a sender who reads and writes too much still has the document looked at with which they sign in', async () => {
  const { url } = await startTestServer({ env: { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '3' } });
  for (let i = 0; i < 3; i += 1) expect(codesOf(await request(url, unknownQuery(0)))).toEqual([]);
  expect(codesOf(await request(url, unknownQuery(0)))).toEqual(['RATE_LIMITED']);
  const signIn = 'mutation { signIn(input: { usernameOrEmail: "nobody", password: "x" }) { accessToken } }';
  expect(codesOf(await request(url, signIn))).not.toEqual([]);
  expect(
    codesOf(await request(url, 'mutation { signIn(input: { usernameOrEmail: "nobody" }) { accessToken } }')),
  ).toEqual(['BAD_USER_INPUT']);
});

test('a forged token pays from the network, not from the user whom it names', async () => {
  const databaseUrl = await createTestDatabase();
  const free = await startTestServer({ databaseUrl });
  const ann = await signUp(free.url, 'ann');
  const env = { RATE_LIMITS: 'on', RATE_PER_USER: '20', RATE_PER_ADDRESS: '20' };
  const { url } = await startTestServer({ databaseUrl, env });
  const forged = { authorization: `Bearer ${ann.accessToken.slice(0, -4)}AAAA` };
  await spend((query) => request(url, query, {}, forged), REFUSED['an unknown field'] ?? String);
  expect(codesOf(await request(url, unknownQuery(1), {}, bearer(ann)))).toEqual([]);
});

test('a document costs by its length the first time, and nothing when the server knows it', async () => {
  const databaseUrl = await createTestDatabase();
  const free = await startTestServer({ databaseUrl });
  const ann = await signUp(free.url, 'ann');
  // 2,000 tokens are 40 points; each query is 1.
  const { url } = await startTestServer({ databaseUrl, env: { RATE_LIMITS: 'on', RATE_PER_USER: '45' } });
  const long = `{ nodes(ids: [${'"x" '.repeat(1_980)}]) { id } }`;
  // The list is longer than its field takes, which is known when it is executed.
  for (let i = 0; i < 6; i += 1) expect(codesOf(await request(url, long, {}, bearer(ann)))).toEqual(['BAD_USER_INPUT']);
  expect(codesOf(await request(url, long, {}, bearer(ann)))).toEqual(['RATE_LIMITED']);
});
