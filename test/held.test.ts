import { request as requestHttp } from 'node:http';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { type Person, request } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const EDIT = `mutation ($id: ID!, $body: String!) {
  editMessage(input: { messageId: $id, body: $body }) { message { body } }
}`;
const DELETE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;
const REACT = `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
const MESSAGE = `query ($id: ID!) { node(id: $id) { ... on Message { body deletedAt replyTo { id body deletedAt } } } }`;
const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken } }`;
const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }`;

describe('paging while messages are deleted and sent', () => {
  /** Reads all pages. Before each next page, the message at the cursor is deleted and another message is sent. */
  async function readPages(ann: Person, room: string, page: (after: string | null) => Promise<any>): Promise<any[]> {
    const seen: any[] = [];
    for (let after: string | null = null, more = true; more;) {
      const { nodes, pageInfo } = await page(after);
      seen.push(...nodes);
      [after, more] = [pageInfo.endCursor, pageInfo.hasNextPage];
      if (!more) break;
      await ann.ask(DELETE, { id: nodes.at(-1).id });
      await send(ann, room, 'word sent meanwhile');
    }
    return seen;
  }

  async function roomOfSixty() {
    const { ann, room } = await world(await startTestServer());
    const numbers: number[] = [];
    for (let i = 0; i < 60; i += 1) numbers.push((await send(ann, room, `word ${i}`)).number);
    return { ann, room, numbers };
  }

  test('returns each message of the history once, in order', async () => {
    const { ann, room, numbers } = await roomOfSixty();
    const PAGE = `query ($room: ID!, $after: String) { chatroom(id: $room) {
      messages(first: 7, after: $after) { nodes { id number kind } pageInfo { endCursor hasNextPage } } } }`;
    const read = await readPages(ann, room, async (after) => (await ann.ask(PAGE, { room, after })).chatroom.messages);
    const seen = read.filter(({ kind }) => kind !== 'SYSTEM').map(({ number }) => number as number);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(numbers));
  });

  test('returns each message of a search once, newest first', async () => {
    const { ann, room, numbers } = await roomOfSixty();
    const PAGE = `query ($room: ID!, $after: String) { chatroom(id: $room) {
      searchMessages(query: "word", first: 7, after: $after) { nodes { id number } pageInfo { endCursor hasNextPage } } } }`;
    const read = await readPages(
      ann,
      room,
      async (after) => (await ann.ask(PAGE, { room, after })).chatroom.searchMessages,
    );
    expect(read.map(({ number }) => number as number)).toEqual(numbers.toReversed());
  });
});

test('the last of twenty concurrent edits is stored', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  const { id } = await send(ann, room, 'first');
  const EVENTS = `subscription ($room: ID!) { chatroomEvents(chatroomId: $room) {
    ... on MessageEdited { message { body } } } }`;
  const stream = ben.connect().subscribe(EVENTS, { room });
  await stream.ready();
  const edits = Array.from({ length: 20 }, (_, i) => ann.ask(EDIT, { id, body: `version ${i}` }));
  await Promise.all(edits);
  const { node } = await ben.ask(MESSAGE, { id });
  await expect.poll(() => stream.received.at(-1)?.message?.body).toBe(node.body);
});

test('a reply to a deleted message shows its immutable tombstone', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  const first = await send(ann, room, 'hello', { clientMessageId: 'a' });
  const reply = await send(ben, room, 'hello to you', { replyToId: first.id });
  await ann.ask(DELETE, { id: first.id });
  const { node } = await ben.ask(MESSAGE, { id: reply.id });
  expect(node.replyTo).toEqual({ id: first.id, body: null, deletedAt: expect.any(String) });
  expect(await ann.askForErrorCode(EDIT, { id: first.id, body: 'again' })).toBe('NOT_FOUND');
  expect(await ben.askForErrorCode(REACT, { id: first.id })).toBe('NOT_FOUND');
  // A retry of the send finds the tombstone and stores nothing.
  expect(await send(ann, room, 'hello', { clientMessageId: 'a' })).toMatchObject({ id: first.id, body: null });
});

test('every character of a password is significant', async () => {
  const { url } = await startTestServer();
  const codeOf = async (username: string, password: string) =>
    (await request(url, SIGN_IN, { input: { usernameOrEmail: username, password } })).errors?.[0]?.extensions.code;
  const long = `${'x'.repeat(72)}tail`;
  const withNul = 'before\0behind it';
  for (const [username, password] of [
    ['long', long],
    ['nul', withNul],
  ] as const)
    expect((await request(url, SIGN_UP, { input: { username, password } })).errors).toBeUndefined();
  expect(await codeOf('long', long)).toBeUndefined();
  expect(await codeOf('nul', withNul)).toBeUndefined();
  expect(await codeOf('long', long.slice(0, 72))).toBe('INVALID_CREDENTIALS');
  expect(await codeOf('long', `${'x'.repeat(72)}tale`)).toBe('INVALID_CREDENTIALS');
  expect(await codeOf('nul', 'before\0behind me')).toBe('INVALID_CREDENTIALS');
});

test('the links of mails ignore the Host header', async () => {
  let log = '';
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      log += chunk.toString();
      done();
    },
  });
  const server = await startTestServer({ log: pino({ level: 'info' }, stream) });
  const input = { username: 'ann', password: 'correct horse', email: 'ann@example.org' };
  const sending = requestHttp(`${server.url}/graphql`, {
    method: 'POST',
    headers: {
      ...{ 'content-type': 'application/json', host: '203.0.113.9', 'x-forwarded-host': 'evil.example' },
      'x-forwarded-proto': 'https',
    },
  });
  const answered = new Promise<string>((resolve) => sending.on('response', (response) => resolve(text(response))));
  sending.end(JSON.stringify({ query: SIGN_UP, variables: { input } }));
  expect(await answered).toContain('accessToken');
  // Without SMTP_URL, the mail is printed to the log.
  await expect.poll(() => log).toMatch(/http:\/\/localhost:\d+\/\?verifyEmail=/);
  expect(log).not.toMatch(/evil\.example|203\.0\.113\.9/);
});
