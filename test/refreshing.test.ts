import { describe, expect, test } from 'vitest';
import { ENDED_SESSION_DAYS, endExpiredSessions, pruneSessions } from '../src/auth/sessionExpiry.ts';
import { sql } from '../src/platform/database/database.ts';
import { type GraphQLResult, type Person, request, signUp } from './support/client.ts';
import { createTestDatabase, startTestServer, type TestServer } from './support/server.ts';

const REFRESH = `mutation ($token: String) { refreshSession(input: { refreshToken: $token }) { accessToken refreshToken } }`;
const SESSIONS = '{ viewer { sessions { nodes { id endedAt } } } }';

const codeOf = ({ errors }: GraphQLResult) => errors?.[0]?.extensions.code;

/** Exchanges a refresh token. Throws if the exchange fails. */
async function exchange(url: string, token: string): Promise<string> {
  const { data, errors } = await request(url, REFRESH, { token });
  if (!data?.refreshSession) throw new Error(JSON.stringify(errors));
  return data.refreshSession.refreshToken;
}

async function isRefused(url: string, token: string): Promise<boolean> {
  return codeOf(await request(url, REFRESH, { token })) === 'UNAUTHENTICATED';
}

/** Moves all earlier rotations into the past. */
async function pass({ node }: TestServer, seconds: number): Promise<void> {
  await node.database.query(sql`UPDATE refresh_tokens SET used_at = used_at - make_interval(secs => ${seconds})`);
}

async function countSessions({ node }: TestServer): Promise<{ active: number; all: number }> {
  const [counts] = await node.database.query<{ active: number; all: number }>(sql`
    SELECT count(*) FILTER (WHERE ended_at IS NULL)::int AS active, count(*)::int AS all FROM sessions`);
  return counts ?? { active: 0, all: 0 };
}

const worksFor = async (person: Person) => (await person.ask('{ viewer { id } }')).viewer !== null;

describe('a refresh token', () => {
  test('is accepted again within 10 s after a lost response', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    await exchange(server.url, ann.refreshToken);
    await pass(server, 9);
    const retried = await exchange(server.url, ann.refreshToken);
    await exchange(server.url, retried);
    expect(await worksFor(ann)).toBe(true);
    expect(await countSessions(server)).toEqual({ active: 1, all: 1 });
  });

  test('reused after 10 s ends the session with sockets and tokens', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const socket = ann.connect();
    await socket.ask('{ viewer { id } }');
    const next = await exchange(server.url, ann.refreshToken);
    await pass(server, 10.5);
    expect(await isRefused(server.url, ann.refreshToken)).toBe(true);
    expect(await socket.closed).toBe(4401);
    expect(await ann.askForErrorCode('{ viewer { id } }')).toBe('UNAUTHENTICATED');
    expect(await isRefused(server.url, next)).toBe(true);
  });

  test('is accepted for 10 s from its first exchange, however often', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    for (let i = 0; i < 3; i += 1) {
      await exchange(server.url, ann.refreshToken);
      await pass(server, 4);
    }
    expect(await isRefused(server.url, ann.refreshToken)).toBe(true);
    expect(await countSessions(server)).toEqual({ active: 0, all: 1 });
  });

  test('two rotations old ends the session, even within 10 s', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const second = await exchange(server.url, ann.refreshToken);
    await pass(server, 1);
    const third = await exchange(server.url, second);
    expect(await isRefused(server.url, ann.refreshToken)).toBe(true);
    expect(await isRefused(server.url, third)).toBe(true);
  });

  test('used by twenty clients at once gives each valid tokens', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const tokens = await Promise.all(Array.from({ length: 20 }, () => exchange(server.url, ann.refreshToken)));
    expect(new Set(tokens).size).toBe(20);
    await Promise.all(tokens.map((token) => exchange(server.url, token)));
    expect(await countSessions(server)).toEqual({ active: 1, all: 1 });
  });

  test('used by twenty clients on two nodes keeps the session', async () => {
    const databaseUrl = await createTestDatabase();
    const servers = [await startTestServer({ databaseUrl }), await startTestServer({ databaseUrl })] as const;
    const ann = await signUp(servers[0].url, 'ann');
    await Promise.all(Array.from({ length: 20 }, (_, i) => exchange(servers[i % 2 ? 0 : 1].url, ann.refreshToken)));
    expect(await countSessions(servers[0])).toEqual({ active: 1, all: 1 });
  });

  test('of a thief ends the session at the next rotation', async () => {
    for (const ownerIsFirst of [true, false]) {
      const server = await startTestServer();
      const ann = await signUp(server.url, 'ann');
      const owners = await exchange(server.url, ann.refreshToken);
      const stolen = await exchange(server.url, ann.refreshToken);
      const [first, second] = ownerIsFirst ? [owners, stolen] : [stolen, owners];
      const next = await exchange(server.url, first);
      await pass(server, 11);
      expect(await isRefused(server.url, second)).toBe(true);
      expect(await isRefused(server.url, next)).toBe(true);
      expect(await countSessions(server)).toEqual({ active: 0, all: 1 });
    }
  });

  test('of a second tab is accepted for 10 s', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const tabs = [await exchange(server.url, ann.refreshToken), await exchange(server.url, ann.refreshToken)] as const;
    await exchange(server.url, tabs[0]);
    await pass(server, 9);
    await exchange(server.url, tabs[1]);
    expect(await countSessions(server)).toEqual({ active: 1, all: 1 });
  });

  test('that expired is refused within the 10 s as well', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    await exchange(server.url, ann.refreshToken);
    await server.node.database.query(sql`UPDATE refresh_tokens SET expires_at = now() WHERE used_at IS NOT NULL`);
    expect(await isRefused(server.url, ann.refreshToken)).toBe(true);
    expect(await worksFor(ann)).toBe(true);
  });

  test('is stored as a hash only', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const tokens = [ann.refreshToken, await exchange(server.url, ann.refreshToken)];
    const [stored] = await server.node.database.query<{ text: string }>(sql`
      SELECT string_agg(t::text || s::text, ' ') AS text FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id`);
    for (const token of tokens)
      for (const spelling of [
        token,
        Buffer.from(token).toString('hex'),
        Buffer.from(token, 'base64url').toString('hex'),
      ])
        expect(stored?.text).not.toContain(spelling);
  });
});

describe('a session', () => {
  const expireTokens = ({ node }: TestServer) => node.database.query(sql`UPDATE refresh_tokens SET expires_at = now()`);

  test('ends with its sockets when its refresh token expires', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const socket = ann.connect();
    await socket.ask('{ viewer { id } }');
    await endExpiredSessions(server.node.database);
    expect(await countSessions(server)).toEqual({ active: 1, all: 1 });
    await expireTokens(server);
    await server.node.database.query(sql`SELECT graphile_worker.add_job('end_sessions', '{}')`);
    expect(await socket.closed).toBe(4401);
    expect(await ann.askForErrorCode(SESSIONS)).toBe('UNAUTHENTICATED');
    expect(await countSessions(server)).toEqual({ active: 0, all: 1 });
  });

  test('continues while one of its tokens is valid', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    await exchange(server.url, ann.refreshToken);
    await server.node.database.query(sql`UPDATE refresh_tokens SET expires_at = now() WHERE used_at IS NOT NULL`);
    await pruneSessions(server.node.database);
    expect(await worksFor(ann)).toBe(true);
  });

  test('survives a token that the previous release is storing', async () => {
    const server = await startTestServer();
    await signUp(server.url, 'ann');
    // The previous release stores the token after the session.
    await server.node.database.query(sql`DELETE FROM refresh_tokens`);
    await pruneSessions(server.node.database);
    expect(await countSessions(server)).toEqual({ active: 1, all: 1 });
    await server.node.database.query(sql`UPDATE sessions SET created_at = now() - interval '61 minutes'`);
    await pruneSessions(server.node.database);
    expect(await countSessions(server)).toEqual({ active: 0, all: 1 });
  });

  test('is deleted with its tokens 90 days after its end', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const { database } = server.node;
    await ann.ask('mutation { signOut { ok } }');
    const end = (days: number) =>
      database.query(sql`UPDATE sessions SET ended_at = now() - make_interval(days => ${days})`);
    await end(ENDED_SESSION_DAYS - 1);
    await pruneSessions(database);
    expect(await countSessions(server)).toEqual({ active: 0, all: 1 });
    await end(ENDED_SESSION_DAYS + 1);
    await pruneSessions(database);
    expect(await countSessions(server)).toEqual({ active: 0, all: 0 });
    expect(await database.query(sql`SELECT FROM refresh_tokens`)).toEqual([]);
  });
});
