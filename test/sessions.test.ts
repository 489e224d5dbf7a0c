import { SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { PASSWORD, type Person, request } from './support/client.ts';
import { startRedis, hasRedis } from './support/redis.ts';
import { AUTH_SECRET, createTestDatabase, startTestServer } from './support/server.ts';
import { MESSAGE_ADDED, send, world } from './support/world.ts';

const SESSIONS = `{ viewer { sessions { nodes { id current endedAt userAgent } } } }`;
const REVOKE = `mutation ($id: ID!) { revokeSession(input: { sessionId: $id }) { revokedSessionId viewer { sessions { nodes { id endedAt } } } } }`;
const CHANGE = `mutation ($old: String, $new: String!) { changePassword(input: { currentPassword: $old, newPassword: $new }) { ok } }`;
const SIGN_IN = `mutation ($name: String!, $password: String!) { signIn(input: { usernameOrEmail: $name, password: $password }) { accessToken refreshToken viewer { user { id username } } } }`;
const REFRESH = `mutation ($token: String!) { refreshSession(input: { refreshToken: $token }) { accessToken } }`;

/** Signs the same person in on another device. */
async function anotherDevice(url: string, person: Person, password = PASSWORD): Promise<Person> {
  const { data } = await request(url, SIGN_IN, { name: person.username, password });
  const { accessToken, refreshToken } = data.signIn;
  return person.on({ accessToken, refreshToken });
}

/** Opens a stream of events over SSE. Returns its text so far and a promise of its end. */
async function openSse(url: string, person: Person, room: string) {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      authorization: `Bearer ${person.accessToken}`,
    },
    body: JSON.stringify({ query: MESSAGE_ADDED, variables: { room } }),
  });
  return { ended: response.text() };
}

describe('ending sessions', () => {
  test('revoking a listed session works once, for its owner only', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const phone = await anotherDevice(server.url, ann);
    const { sessions } = (await ann.ask(SESSIONS)).viewer;
    expect(sessions.nodes.map((session: any) => session.current)).toEqual([false, true]);
    const [{ id }] = sessions.nodes;
    expect(await ben.askForErrorCode(REVOKE, { id })).toBe('NOT_FOUND');
    const socket = phone.connect();
    await socket.ask('{ viewer { id } }');
    const { revokeSession } = await ann.ask(REVOKE, { id });
    expect(revokeSession.revokedSessionId).toBe(id);
    expect(revokeSession.viewer.sessions.nodes[0].endedAt).not.toBeNull();
    expect(await socket.closed).toBe(4401);
    expect(await phone.askForErrorCode('{ viewer { id } }')).toBe('UNAUTHENTICATED');
    const refreshed = await request(server.url, REFRESH, { token: phone.refreshToken });
    expect(refreshed.errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
    // Revoking again changes nothing. Foreign and malformed ids are NOT_FOUND.
    await ann.ask(REVOKE, { id });
    expect(await ann.askForErrorCode(REVOKE, { id: 'junk' })).toBe('NOT_FOUND');
    expect((await request(server.url, REVOKE, { id })).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
  });

  test.for(['a shared bus', 'polling alone'])(
    'sign-out reaches sockets and SSE streams on every node by %s',
    { timeout: 60_000 },
    async (how, { skip }) => {
      if (how === 'a shared bus' && !hasRedis()) skip('There is no redis-server.');
      const databaseUrl = await createTestDatabase();
      const redisUrl = how === 'a shared bus' ? (await startRedis()).url : undefined;
      const here = await startTestServer({ databaseUrl, redisUrl });
      const there = await startTestServer({ databaseUrl, redisUrl });
      const { ann, ben, room } = await world(here);
      const laptop = await anotherDevice(here.url, ann);
      const socket = ann.at(there.url).connect();
      const kept = laptop.at(there.url).connect();
      for (const open of [socket, kept]) await open.ask('{ viewer { id } }');
      const sse = await openSse(there.url, ann, room);
      await expect.poll(() => there.node.roomTails.size()).toBe(1);
      // The database is polled once a second, and after a notification over the bus. A poll that began before the
      // sign-out may miss it, but the next one may not. Polls are counted, because a busy machine guarantees no
      // milliseconds.
      const { sessionId } = await here.node.accessTokens.verify(ann.accessToken);
      let [polls, reported] = [0, false];
      there.node.changePoller.listen(({ ended }) => {
        if (reported) return;
        polls += 1;
        reported = ended.includes(sessionId);
      });
      await ann.ask('mutation { signOut { ok } }');
      polls = 0;
      expect(await socket.closed).toBe(4401);
      expect(await sse.ended).toContain('UNAUTHENTICATED');
      expect(reported).toBe(true);
      expect(polls).toBeLessThanOrEqual(2);
      await send(ben, room, 'nobody of that session hears this');
      // The other device stays signed in.
      expect((await kept.ask('{ viewer { user { username } } }')).data.viewer.user.username).toBe('ann');
    },
  );

  test('a password change keeps the current session only', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const phone = await anotherDevice(server.url, ann);
    const [here, there] = [ann.connect(), phone.connect()];
    for (const open of [here, there]) await open.ask('{ viewer { id } }');
    expect(await ann.askForErrorCode(CHANGE, { old: 'not the password', new: 'another password' })).toBe(
      'INVALID_CREDENTIALS',
    );
    expect(await ann.askForErrorCode(CHANGE, { old: null, new: 'another password' })).toBe('INVALID_CREDENTIALS');
    expect(await ann.askForErrorCode(CHANGE, { old: PASSWORD, new: 'short' })).toBe('BAD_USER_INPUT');
    await ann.ask(CHANGE, { old: PASSWORD, new: 'another password' });
    expect(await there.closed).toBe(4401);
    expect(await phone.askForErrorCode('{ viewer { id } }')).toBe('UNAUTHENTICATED');
    expect((await here.ask('{ viewer { user { username } } }')).data.viewer.user.username).toBe('ann');
    const old = await request(server.url, SIGN_IN, { name: 'ann', password: PASSWORD });
    expect(old.errors?.[0]?.extensions.code).toBe('INVALID_CREDENTIALS');
    await anotherDevice(server.url, ann, 'another password');
  });

  test('a sign-in with the old password during its change ends', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const tries = Promise.all(
      Array.from({ length: 8 }, () => request(server.url, SIGN_IN, { name: 'ann', password: PASSWORD })),
    );
    await ann.ask(CHANGE, { old: PASSWORD, new: 'another password' });
    for (const { data, errors } of await tries) {
      if (!data?.signIn) {
        expect(errors?.[0]?.extensions.code).toBe('INVALID_CREDENTIALS');
        continue;
      }
      const { accessToken, refreshToken } = data.signIn;
      expect(await ann.on({ accessToken, refreshToken }).askForErrorCode('{ viewer { id } }')).toBe('UNAUTHENTICATED');
    }
    expect((await ann.ask(SESSIONS)).viewer.sessions.nodes.filter((session: any) => !session.endedAt)).toHaveLength(1);
  });
});

describe('an expiring token', () => {
  test('closes its socket with 4403 and its SSE stream with TOKEN_EXPIRED', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const session = await server.node.accessTokens.verify(ann.accessToken);
    const short = ann.on({ accessToken: await expiring(session.userId, session.sessionId, 3) });
    const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room });
    const socket = short.connect();
    const stream = socket.subscribe(MESSAGE_ADDED, { room, after: chatroom.cursor });
    await send(ben, room, 'one');
    const { cursor } = await stream.next();
    const sse = await openSse(server.url, short, room);
    expect(await socket.closed).toBe(4403);
    expect(await sse.ended).toContain('TOKEN_EXPIRED');
    await send(ben, room, 'two');
    const resumed = ann.connect().subscribe(MESSAGE_ADDED, { room, after: cursor });
    expect((await resumed.next()).message.body).toBe('two');
  });
});

/** Creates an access token like the server's, which expires after `seconds`. */
async function expiring(userId: string, sessionId: string, seconds: number): Promise<string> {
  return new SignJWT({ sid: sessionId })
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
    .setSubject(userId)
    .setIssuer('parley')
    .setAudience('parley')
    .setIssuedAt()
    .setExpirationTime(`${seconds}s`)
    .sign(new TextEncoder().encode(AUTH_SECRET));
}
