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

/** Starts the nodes of a deployment, one for each step of a key rotation. */
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

test('each step of a key rotation accepts tokens of both sides', async () => {
  const { before, prepared, switched, done } = await deployment();
  const steps: [string, string][] = [
    [before, prepared],
    [prepared, switched],
    [switched, done],
  ];
  for (const [i, [earlier, later]] of steps.entries()) {
    const ann = await signUp(earlier, `ann${i}`);
    const ben = await signUp(later, `ben${i}`);
    // The last step happens after the former key's tokens have expired. Clients then have new tokens.
    const anns = later === done ? await refresh(ann) : ann;
    expect((await anns.at(later).ask(ME)).viewer.user.username).toBe(`ann${i}`);
    expect((await ben.at(earlier).ask(ME)).viewer.user.username).toBe(`ben${i}`);
  }
});

test('sockets survive a key rotation on all nodes', async () => {
  const { prepared, switched } = await deployment();
  const { ann, ben, room } = await world({ url: prepared });
  const [old, moved] = [ben.connect(), ben.at(switched).connect()];
  const streams = [old, moved].map((socket) => socket.subscribe(MESSAGE_ADDED, { room }));
  for (const stream of streams) await stream.ready();
  const renewed = await refresh(ann.at(switched));
  await send(renewed, room, 'by a token of the next key');
  await send(renewed.at(prepared), room, 'the same, at a node that signs with the former');
  for (const stream of streams) {
    expect((await stream.take(2)).map(({ message }) => message.number)).toEqual([1, 2]);
  }
  expect((await old.ask(ME)).data.viewer.user.username).toBe('ben');
  expect((await moved.ask(ME)).data.viewer.user.username).toBe('ben');
});

test('a token of a removed key expires, and the session continues', async () => {
  const { before, done } = await deployment();
  const ann = await signUp(before, 'ann');
  const there = ann.at(done);
  expect(await there.askForErrorCode(ME)).toBe('TOKEN_EXPIRED');
  expect(await there.connect().closed).toBe(4403);
  expect((await (await refresh(there)).ask(ME)).viewer.user.username).toBe('ann');
});

test('a token with our key id needs our key’s signature', async () => {
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
