import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { connect, type GraphQLResult, signUp } from '../support/client.ts';
import { startTestServer } from '../support/server.ts';

const VIEWER = 'query Viewer { viewer { user { username } } }';
const SIGN_UP = `mutation SignUp($input: SignUpInput!) { signUp(input: $input) { accessToken } }`;
const TYPING = 'subscription Typing($room: ID!) { typingChanged(chatroomId: $room) { typing } }';
const hash = (document: string) => createHash('sha256').update(document).digest('hex');

/** Writes a file like codegen's client preset does with `persistedDocuments`. */
async function manifest(content: unknown): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-documents-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'persisted-documents.json');
  await writeFile(path, JSON.stringify(content));
  return path;
}

const documents = Object.fromEntries([VIEWER, SIGN_UP, TYPING].map((document) => [hash(document), document]));
const persisted = (document: string) => ({ persistedQuery: { version: 1, sha256Hash: hash(document) } });
const codes = ({ errors }: GraphQLResult) => errors?.map((error) => error.extensions.code);

async function post(url: string, body: object, headers: Record<string, string> = {}): Promise<GraphQLResult> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
  return (await (await fetch(`${url}/graphql`, init)).json()) as GraphQLResult;
}

test('over HTTP only known documents are executed, by id', async () => {
  const { url } = await startTestServer({ env: { PERSISTED_ONLY: await manifest(documents) } });
  const input = { username: 'ann', password: 'correct horse' };
  const { data } = await post(url, { documentId: hash(SIGN_UP), variables: { input } });
  const headers = { authorization: `Bearer ${data.signUp.accessToken}` };
  const ann = { viewer: { user: { username: 'ann' } } };
  expect((await post(url, { documentId: hash(VIEWER) }, headers)).data).toEqual(ann);
  expect((await post(url, { extensions: persisted(VIEWER) }, headers)).data).toEqual(ann);
  const search = new URLSearchParams({ extensions: JSON.stringify(persisted(VIEWER)) });
  expect(await (await fetch(`${url}/graphql?${search}`, { headers })).json()).toEqual({ data: ann });
  // The id takes precedence over any text in the request.
  const other = '{ users { nodes { username } } }';
  expect((await post(url, { query: other, extensions: persisted(VIEWER) }, headers)).data).toEqual(ann);
  for (const body of [
    { query: VIEWER },
    { query: '{ __typename }' },
    { documentId: hash(other) },
    { documentId: '__proto__' },
    { documentId: 7 },
    {},
  ]) {
    const result = await post(url, body, headers);
    expect(codes(result), JSON.stringify(body)).toEqual(['BAD_USER_INPUT']);
    expect(result.errors?.[0]?.message).toMatch(/documentId|PERSISTED_ONLY/);
  }
});

test('over WebSocket only known documents run, subscriptions included', async () => {
  const server = await startTestServer();
  const ann = await signUp(server.url, 'ann');
  const { databaseUrl } = server;
  const { url } = await startTestServer({ databaseUrl, env: { PERSISTED_ONLY: await manifest(documents) } });
  const { client } = connect(url, ann.accessToken);
  const ask = (payload: { query: string; extensions?: Record<string, unknown>; variables?: Record<string, unknown> }) =>
    new Promise<unknown>((resolve) => {
      client.subscribe(payload, { next: resolve, error: resolve, complete: () => undefined });
    });
  expect(await ask({ query: '', extensions: persisted(VIEWER) })).toEqual({
    data: { viewer: { user: { username: 'ann' } } },
  });
  const refused = [
    { message: expect.stringContaining('documentId') as unknown, extensions: { code: 'BAD_USER_INPUT' } },
  ];
  expect(await ask({ query: VIEWER })).toEqual(refused);
  expect(await ask({ query: TYPING, variables: { room: 'x' } })).toEqual(refused);
  // The known subscription is executed and fails at its unknown room.
  expect(await ask({ query: '', extensions: persisted(TYPING), variables: { room: 'x' } })).toMatchObject({
    errors: [{ extensions: { code: 'NOT_FOUND' } }],
  });
});

test('an invalid or mismatched document file prevents the start', async () => {
  const starting = async (content: unknown) => startTestServer({ env: { PERSISTED_ONLY: await manifest(content) } });
  await expect(starting({ a: '{ nothing }' })).rejects.toThrow(
    /document a does not fit the schema\. Cannot query field "nothing"/,
  );
  await expect(starting({ a: 1 })).rejects.toThrow(/PERSISTED_ONLY cannot be/);
  await expect(startTestServer({ env: { PERSISTED_ONLY: '/nowhere/documents.json' } })).rejects.toThrow(
    /PERSISTED_ONLY.+ENOENT/,
  );
});
