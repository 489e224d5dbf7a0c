import { hash } from '@node-rs/argon2';
import { expect, test } from 'vitest';
import { sql } from '../src/platform/database/database.ts';
import { fillSkeletons, renewEmailKeys } from '../src/features/users/keys.ts';
import { PASSWORD, request, signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const SIGN_UP = `mutation ($username: String!, $password: String!) {
  signUp(input: { username: $username, password: $password }) { viewer { user { username } } }
}`;
const SIGN_IN = `mutation ($name: String!, $password: String!) {
  signIn(input: { usernameOrEmail: $name, password: $password }) { viewer { user { username } } }
}`;

test('a look-alike of a name is taken, legacy names included', async () => {
  const server = await startTestServer();
  const { database } = server.node;
  await signUp(server.url, 'paypal');
  // An earlier release allowed these names and stored no skeletons.
  const old = ['support', 'suppоrt', 'аре', 'Вася_fan'];
  const oldHash = await hash(PASSWORD);
  for (const name of old) {
    await database.query(sql`
      INSERT INTO users (username, username_key, nickname, nickname_key, password_hash)
        VALUES (${name}, ${name.toLowerCase()}, ${name}, ${name}, ${oldHash})`);
  }
  await fillSkeletons(database);
  await fillSkeletons(database);
  const filled = await database.query<{ username: string }>(sql`
    SELECT username FROM users WHERE username_skeleton IS NOT NULL ORDER BY username COLLATE "C"`);
  expect(filled.map(({ username }) => username)).toEqual(['paypal', 'support', 'Вася_fan', 'аре']);

  for (const username of ['paypaI', 'supp0rt', 'ape']) {
    const { errors } = await request(server.url, SIGN_UP, { username, password: PASSWORD });
    expect(errors?.[0]).toMatchObject({
      message: 'This username looks like that of another user. Choose another.',
      extensions: { code: 'USERNAME_TAKEN' },
    });
  }
  for (const name of old) {
    const { data } = await request(server.url, SIGN_IN, { name, password: PASSWORD });
    expect(data.signIn.viewer.user.username).toBe(name);
  }
});

test('one of two simultaneous look-alike sign-ups succeeds', async () => {
  const { url } = await startTestServer();
  const results = await Promise.all(
    ['paypal', 'paypaI', 'paypa1'].map((username) => request(url, SIGN_UP, { username, password: PASSWORD })),
  );
  expect(results.filter(({ errors }) => !errors)).toHaveLength(1);
  expect(results.flatMap(({ errors }) => errors ?? []).map((error) => error.extensions.code)).toEqual([
    'USERNAME_TAKEN',
    'USERNAME_TAKEN',
  ]);
});

test('a password matches in composed, decomposed and wide form', async () => {
  const server = await startTestServer();
  const password = 'Grüße aus Köln 1';
  await request(server.url, SIGN_UP, { username: 'ann', password: password.normalize('NFC') });
  for (const typed of [password.normalize('NFD'), 'Ｇrüße aus Köln １']) {
    const { data } = await request(server.url, SIGN_IN, { name: 'ann', password: typed });
    expect(data.signIn.viewer.user.username).toBe('ann');
  }

  // An earlier release hashed the password without normalisation.
  const typed = password.normalize('NFD');
  const oldHash = await hash(typed);
  await server.node.database.query(sql`UPDATE users SET password_hash = ${oldHash} WHERE username = 'ann'`);
  const { data } = await request(server.url, SIGN_IN, { name: 'ann', password: typed });
  expect(data.signIn.viewer.user.username).toBe('ann');
  const wrong = await request(server.url, SIGN_IN, { name: 'ann', password: `${typed}!` });
  expect(wrong.errors?.[0]?.extensions.code).toBe('INVALID_CREDENTIALS');
});

test('a reaction matches with and without U+FE0F', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const { id } = await send(ann, room, 'Hello');
  const change = (name: string) => `mutation ($id: ID!, $emoji: String!) {
    ${name}(input: { messageId: $id, emoji: $emoji }) { message { reactions { emoji count } } }
  }`;
  await ann.ask(change('addReaction'), { id, emoji: '❤' });
  await ben.ask(change('addReaction'), { id, emoji: '❤\ufe0f' });
  const added = await ann.ask(change('addReaction'), { id, emoji: '👍\ufe0f' });
  expect(added.addReaction.message.reactions).toEqual([
    { emoji: '❤\ufe0f', count: 2 },
    { emoji: '👍', count: 1 },
  ]);
  const removed = await ann.ask(change('removeReaction'), { id, emoji: '❤' });
  expect(removed.removeReaction.message.reactions).toEqual([
    { emoji: '❤\ufe0f', count: 1 },
    { emoji: '👍', count: 1 },
  ]);
});

test('a forged cursor is BAD_USER_INPUT at its argument in every list', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const uuid = '00000000-0000-4000-8000-000000000000';
  const moments = [
    ...['2026-02-30T00:00:00.000Z', '2026-04-31T00:00:00.000Z', '0000-01-01T00:00:00.000Z', '2026-01-01T24:00:00.000Z'],
    ...[
      '2026-01-01T00:00:60.000Z',
      '2026-13-01T00:00:00.000Z',
      '2026-01-01T00:00:00:00Z',
      '+12026-01-01T00:00:00.000Z',
    ],
  ];
  const lists: [query: string, list: string, more: string[]][] = [
    ['viewer { chatrooms(ARGS) { nodes { id } } }', 'chatrooms', [uuid]],
    ['viewer { sessions(ARGS) { nodes { id } } }', 'sessions', [uuid]],
    ['viewer { friendRequests(direction: INCOMING, ARGS) { nodes { id } } }', 'requests INCOMING', [uuid]],
    ['chatroom(id: $room) { members(ARGS) { nodes { role } } }', 'members', [uuid]],
    ['viewer { searchMessages(query: "a", ARGS) { nodes { id } } }', 'search all', [uuid, '1']],
  ];
  const forge = (parts: unknown) => Buffer.from(JSON.stringify(parts)).toString('base64url');
  const ask = async (query: string, argument: string, cursor: string) => {
    const document = `query ($room: ID!, $cursor: String) {
      node(id: $room) { id } ${query.replace('ARGS', `${argument}: $cursor`)}
    }`;
    const headers = { authorization: `Bearer ${ann.accessToken}` };
    return (await request(server.url, document, { room, cursor }, headers)).errors;
  };
  for (const [query, list, more] of lists) {
    expect(await ask(query, 'after', forge([list, '2026-02-28T23:59:59.999Z', ...more]))).toBeUndefined();
    for (const argument of ['after', 'before']) {
      for (const cursor of [
        ...moments.map((moment) => forge([list, moment, ...more])),
        forge([list, '2026-01-01T00:00:00.000Z', ...more.map(() => `${uuid}\0`)]),
        forge([list, '2026-01-01T00:00:00.000Z', ...more.map(() => '99999999999999999999')]),
        forge([list, '2026-01-01T00:00:00.000Z', ...more.map(() => '\ud800')]),
        forge([list, '\ud800', ...more]),
        'A'.repeat(60_000),
      ]) {
        expect((await ask(query, argument, cursor))?.[0]?.extensions).toMatchObject({
          code: 'BAD_USER_INPUT',
          path: [argument],
        });
      }
    }
  }
});

test('a forged cursor of a list by name is BAD_USER_INPUT', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const forge = (parts: unknown) => Buffer.from(JSON.stringify(parts)).toString('base64url');
  for (const name of ['a\0', '\ud800', 'a'.repeat(2_000), ['a', ['\0']], { toString: 1 }]) {
    expect(
      await ann.askForErrorCode(`query ($c: String) { users(after: $c) { nodes { id } } }`, {
        c: forge(['users', name]),
      }),
    ).toBe('BAD_USER_INPUT');
    expect(
      await ann.askForErrorCode(`query ($c: String) { openChatrooms(before: $c) { nodes { id } } }`, {
        c: forge(['open', name, '00000000-0000-4000-8000-000000000000']),
      }),
    ).toBe('BAD_USER_INPUT');
  }
});

test('a legacy non-ASCII address can still sign in', async () => {
  const server = await startTestServer();
  const { database } = server.node;
  const passwordHash = await hash(PASSWORD);
  for (const [name, email, oldKey] of [
    ['ann', 'x@straße.example', 'x@strasse.example'],
    ['ben', 'ben@bücher.example', 'ben@bücher.example'],
  ] as const) {
    await database.query(sql`
      INSERT INTO users (username, username_key, nickname, nickname_key, password_hash, email, email_key, email_verified_at)
        VALUES (${name}, ${name}, ${name}, ${name}, ${passwordHash}, ${email}, ${oldKey}, now())`);
  }
  await renewEmailKeys(database);
  for (const [typed, name] of [
    ['X@Straße.example', 'ann'],
    ['ben@xn--bcher-kva.example', 'ben'],
  ] as const) {
    const { data } = await request(server.url, SIGN_IN, { name: typed, password: PASSWORD });
    expect(data.signIn.viewer.user.username).toBe(name);
  }
  const other = await request(server.url, SIGN_IN, { name: 'x@strasse.example', password: PASSWORD });
  expect(other.errors?.[0]?.extensions.code).toBe('INVALID_CREDENTIALS');
});
