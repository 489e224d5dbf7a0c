import { expect, test } from 'vitest';
import { connect, type Person, request, signUp } from '../support/client.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';
import { MESSAGE_ADDED, send, world } from '../support/world.ts';

const FORMER = 'the former key: k3Vq8sJwZr1mPd7XyB4nLf0t';
const NEXT = 'the next key: Gh6CuEa9oR2iQwTzMxNbYvUeP5sD';
const ME = '{ viewer { user { username } } }';
const REFRESH = `mutation ($token: String!) {
  refreshSession(input: { refreshToken: $token }) { accessToken refreshToken }
}`;

/** The nodes of a deployment, by how far the replacing of the key has come with each. */
async function deployment() {
  const databaseUrl = await createTestDatabase();
  const node = async (AUTH_SECRET: string, AUTH_SECRETS_ACCEPTED = '') =>
    (await startTestServer({ databaseUrl, env: { AUTH_SECRET, AUTH_SECRETS_ACCEPTED } })).url;
  return {
    before: await node(FORMER),
    prepared: await node(FORMER, NEXT),
    switched: await node(NEXT, FORMER),
    done: await node(NEXT),
  };
}

const refresh = async (person: Person) =>
  person.on((await person.ask(REFRESH, { token: person.refreshToken })).refreshSession);

test('while a key is replaced node by node, each of two steps takes the tokens of both sides', async () => {
  const { before, prepared, switched, done } = await deployment();
  const steps: [string, string][] = [
    [before, prepared],
    [prepared, switched],
    [switched, done],
  ];
  for (const [i, [earlier, later]] of steps.entries()) {
    const ann = await signUp(earlier, `ann${i}`);
    const ben = await signUp(later, `ben${i}`);
    // The last step is taken when the former key's tokens have run out: those who come back have new ones.
    const anns = later === done ? await refresh(ann) : ann;
    expect((await anns.at(later).ask(ME)).viewer.user.username).toBe(`ann${i}`);
    expect((await ben.at(earlier).ask(ME)).viewer.user.username).toBe(`ben${i}`);
  }
});

test('sockets go on through the replacing, on nodes that are before it and after it', async () => {
  const { prepared, switched } = await deployment();
  const { ann, ben, room } = await world({ url: prepared });
  const [old, moved] = [ben.connect(), ben.at(switched).connect()];
  const streams = [old, moved].map((socket) => socket.subscribe(MESSAGE_ADDED, { room }));
  for (const stream of streams) await stream.taken();
  const renewed = await refresh(ann.at(switched));
  await send(renewed, room, 'by a token of the next key');
  await send(renewed.at(prepared), room, 'the same, at a node that signs with the former');
  for (const stream of streams) {
    expect((await stream.take(2)).map(({ message }) => message.number)).toEqual([1, 2]);
  }
  expect((await old.ask(ME)).data.viewer.user.username).toBe('ben');
  expect((await moved.ask(ME)).data.viewer.user.username).toBe('ben');
});

test('a token of a key that was removed is refused as one that has run out, and the session goes on', async () => {
  const { before, done } = await deployment();
  const ann = await signUp(before, 'ann');
  const there = ann.at(done);
  expect(await there.refused(ME)).toBe('TOKEN_EXPIRED');
  expect(await there.connect().closed).toBe(4403);
  expect((await (await refresh(there)).ask(ME)).viewer.user.username).toBe('ann');
});

test('a key id opens nothing: a token that claims a key of ours must be signed with it', async () => {
  const { switched, done } = await deployment();
  const ann = await signUp(switched, 'ann');
  const [head = '', claims, signature] = ann.accessToken.split('.');
  const foreign = await signUp((await startTestServer({ env: { AUTH_SECRET: FORMER } })).url, 'mallory');
  const claimed = [head, claims, foreign.accessToken.split('.')[2]].join('.');
  const unnamed = JSON.parse(Buffer.from(head, 'base64url').toString()) as Record<string, unknown>;
  const elsewhere = Buffer.from(JSON.stringify({ ...unnamed, kid: '__proto__' })).toString('base64url');
  for (const token of [claimed, [elsewhere, claims, signature].join('.')]) {
    const { errors } = await request(done, ME, {}, { authorization: `Bearer ${token}` });
    expect(errors?.[0]?.extensions.code).toBe(token === claimed ? 'UNAUTHENTICATED' : 'TOKEN_EXPIRED');
    expect(await connect(done, token).closed).toBe(token === claimed ? 4401 : 4403);
  }
});
