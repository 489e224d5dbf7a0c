import { describe, expect, onTestFinished, test } from 'vitest';
import { createSessionFinder } from '../src/auth/sessionFinder.ts';
import { administer } from '../src/cli/admin/admin.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { parseConfig } from '../src/core/config/config.ts';
import { type Sql, sql } from '../src/platform/database/database.ts';
import { PASSWORD, type Person, request, signUp } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import {
  createTestDatabase,
  holdTransaction,
  startTestServer,
  type TestServer,
  waitForPoll,
} from './support/server.ts';
import { world } from './support/world.ts';

// Nodes cache sessions. A request that begins a second after the end of its session must be refused on every node, and at
// once on the node that ended the session. The tests record when each request began, so that a slow machine cannot fail them.

/** Time after which an ended session must be refused on the other nodes, in milliseconds. Holds without Redis too. */
const LIMIT_MS = 1_000;
/** Time for which requests continue after the end, in milliseconds. */
const OBSERVED_MS = 1_500;
/** Requests of one client that are in progress at a time. */
const AT_ONCE = 2;

const ME = '{ viewer { id } }';
const SIGN_IN = `mutation ($name: String!, $password: String!) { signIn(input: { usernameOrEmail: $name, password: $password }) { accessToken refreshToken viewer { sessions(first: 1) { nodes { id } } } } }`;
const SIGN_OUT = 'mutation { signOut { ok } }';
const REVOKE = `mutation ($id: ID!) { revokeSession(input: { sessionId: $id }) { revokedSessionId } }`;
const CHANGE_PASSWORD = `mutation ($old: String!) { changePassword(input: { currentPassword: $old, newPassword: "another password" }) { ok } }`;
const DELETE_ACCOUNT = `mutation ($password: String!) { deleteAccount(input: { password: $password }) { __typename } }`;

/** A session to end, another session of the same user, and the database. */
interface Setting {
  ending: Person;
  sessionId: string;
  other: Person;
  databaseUrl: string;
}

const WAYS = {
  'sign-out': ({ ending }) => ending.ask(SIGN_OUT),
  'revocation from another device': ({ other, sessionId }) => other.ask(REVOKE, { id: sessionId }),
  'a password change': ({ other }) => other.ask(CHANGE_PASSWORD, { old: PASSWORD }),
  'account deletion': ({ other }) => other.ask(DELETE_ACCOUNT, { password: PASSWORD }),
  suspension: ({ ending, databaseUrl }) => suspend(databaseUrl, ending.username),
} satisfies Record<string, (setting: Setting) => Promise<unknown>>;

/** Suspends a user as `npm run admin -- suspend-user` does, without any node. */
async function suspend(databaseUrl: string, username: string): Promise<void> {
  await administer(
    ['suspend-user', username],
    {
      config: parseConfig({ NODE_ENV: 'test' }),
      nodeVersion: process.versions.node,
      readInput: () => Promise.resolve(''),
      progress: createProgress({ isTTY: false, write: () => true }),
    },
    () => Promise.resolve({ url: databaseUrl, stop: () => Promise.resolve() }),
  );
}

/** Signs a user in on another device, and returns the person with the id of the new session. */
async function anotherDevice(person: Person): Promise<{ device: Person; sessionId: string }> {
  const { data } = await request(person.url, SIGN_IN, { name: person.username, password: PASSWORD });
  const { accessToken, refreshToken, viewer } = data.signIn;
  return { device: person.on({ accessToken, refreshToken }), sessionId: viewer.sessions.nodes[0].id };
}

/** Requests of one session on one node, sent as fast as possible. */
class Client {
  /** Time at which each accepted request began, in milliseconds. */
  readonly accepted: number[] = [];
  readonly refused: number[] = [];
  /** Time at which the first refusal arrived. */
  firstRefusedAt = Infinity;
  #isStopped = false;
  readonly #loops: Promise<void>[];

  constructor(person: Person) {
    this.#loops = Array.from({ length: AT_ONCE }, () => this.#send(person));
  }

  async #send(person: Person): Promise<void> {
    while (!this.#isStopped) {
      const beganAt = performance.now();
      const { errors } = await request(person.url, ME, {}, { authorization: `Bearer ${person.accessToken}` });
      if (!errors) this.accepted.push(beganAt);
      else if (errors[0]?.extensions.code === 'UNAUTHENTICATED') {
        this.refused.push(beganAt);
        this.firstRefusedAt = Math.min(this.firstRefusedAt, performance.now());
      } else throw new Error(JSON.stringify(errors));
    }
  }

  /** Returns the accepted requests that began after a time. */
  acceptedAfter(time: number): number[] {
    return this.accepted.filter((beganAt) => beganAt >= time);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
  }
}

/** Starts a client of a session on a node, and waits until the node has the session in its cache. */
async function startClient(server: TestServer, person: Person): Promise<Client> {
  const client = new Client(person.at(server.url));
  onTestFinished(() => client.stop());
  await expect.poll(() => client.accepted.length).toBeGreaterThan(20);
  return client;
}

/** Ends a session while clients use it, and returns the time at which the end was acknowledged. */
async function endWhileUsed(end: () => Promise<unknown>, clients: readonly Client[]): Promise<number> {
  await end();
  const acknowledgedAt = performance.now();
  await expect.poll(() => performance.now()).toBeGreaterThan(acknowledgedAt + OBSERVED_MS);
  for (const client of clients) await client.stop();
  return acknowledgedAt;
}

describe.runIf(hasRedis())('an ended session', () => {
  test.for(
    (Object.keys(WAYS) as (keyof typeof WAYS)[]).flatMap((way) => [
      [way, 'Redis runs'] as const,
      [way, 'Redis is stopped'] as const,
    ]),
  )('is refused on all nodes a second after %s while %s', async ([way, state]) => {
    const [databaseUrl, redis] = [await createTestDatabase(), await startRedis()];
    const start = () => startTestServer({ databaseUrl, redisUrl: redis.url });
    const [here, ...others] = await Promise.all([start(), start(), start()]);
    const other = await signUp(here.url, 'ann');
    const { device, sessionId } = await anotherDevice(other);
    if (state === 'Redis is stopped') redis.signal('SIGKILL');

    const local = await startClient(here, device);
    const remote = await Promise.all(others.map((server) => startClient(server, device)));
    const setting = { ending: device, sessionId, other, databaseUrl };
    const acknowledgedAt = await endWhileUsed(() => WAYS[way](setting), [local, ...remote]);

    // No node takes part in a suspension.
    expect(local.acceptedAfter(acknowledgedAt + (way === 'suspension' ? LIMIT_MS : 0))).toEqual([]);
    for (const client of remote) expect(client.acceptedAfter(acknowledgedAt + LIMIT_MS)).toEqual([]);
    for (const client of [local, ...remote]) expect(client.refused).not.toEqual([]);
  });
});

test.runIf(hasRedis())('a session that ends while it is not used is refused on all nodes', async () => {
  const [databaseUrl, redis] = [await createTestDatabase(), await startRedis()];
  const start = () => startTestServer({ databaseUrl, redisUrl: redis.url });
  const [here, ...others] = await Promise.all([start(), start(), start()]);
  const { ann } = await world(here);
  for (const server of others) await (await startClient(server, ann)).stop();
  await ann.ask(SIGN_OUT);
  const acknowledgedAt = performance.now();
  await expect.poll(() => performance.now()).toBeGreaterThan(acknowledgedAt + LIMIT_MS);
  // Sent at once, so that most of them arrive while no poll is due.
  const codes = others.flatMap(({ url }) => Array.from({ length: 10 }, () => ann.at(url).askForErrorCode(ME)));
  expect(await Promise.all(codes)).toEqual(codes.map(() => 'UNAUTHENTICATED'));
});

test('an ended session is refused on all nodes while polls stall', async () => {
  const here = await startTestServer();
  const there = await startTestServer({ databaseUrl: here.databaseUrl });
  const { ann } = await world(here);
  const clients = [await startClient(here, ann), await startClient(there, ann)] as const;
  // Polls read the table. Checks of sessions and the end of a session do not.
  const release = await holdTransaction(here, 'LOCK TABLE events IN ACCESS EXCLUSIVE MODE');
  const acknowledgedAt = await endWhileUsed(() => ann.ask(SIGN_OUT), clients);
  expect(clients[0].acceptedAfter(acknowledgedAt)).toEqual([]);
  expect(clients[1].acceptedAfter(acknowledgedAt + LIMIT_MS)).toEqual([]);
  await release();
});

test('a session checked before its end is not cached after it', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const claims = await server.node.accessTokens.verify(ann.accessToken);
  const { database, changePoller } = server.node;
  let reads = 0;
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  // Delays the result of the check until a poll has reported the end.
  const prepared = async <Row extends object>(statement: Sql) => {
    const rows = await database.prepared<Row>(statement);
    reads += 1;
    await released;
    return rows;
  };
  const find = createSessionFinder({ database: { ...database, prepared }, changePoller });
  const checked = find(claims, false);
  await expect.poll(() => reads).toBe(1);
  await ann.ask(SIGN_OUT);
  await waitForPoll(server);
  release();
  expect(await checked).not.toBeNull();
  expect(await find(claims, false)).toBeNull();
});

test('a deleted session is refused, and stays refused', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const client = await startClient(server, ann);
  const { sessionId } = await server.node.accessTokens.verify(ann.accessToken);
  await server.node.database.query(sql`DELETE FROM sessions WHERE id = ${sessionId}::uuid`);
  const deletedAt = performance.now();
  await expect.poll(() => client.refused.length).toBeGreaterThan(20);
  await client.stop();
  expect(client.acceptedAfter(deletedAt + LIMIT_MS)).toEqual([]);
  expect(client.acceptedAfter(client.firstRefusedAt)).toEqual([]);
});

test('an end that no poll reports takes effect within 10 s', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const claims = await server.node.accessTokens.verify(ann.accessToken);
  const { database, changePoller } = server.node;
  const find = createSessionFinder({ database, changePoller: { ...changePoller, lag: () => 0 } });
  expect(await find(claims, false)).not.toBeNull();
  const checkedAt = performance.now();
  await database.query(sql`ALTER TABLE sessions DISABLE TRIGGER session_ended`);
  await database.query(sql`UPDATE sessions SET ended_at = now()`);
  let lastAcceptedAt = 0;
  const isRefused = async () => {
    const beganAt = performance.now();
    const session = await find(claims, false);
    if (session) lastAcceptedAt = beganAt;
    return session === null;
  };
  await expect.poll(isRefused).toBe(true);
  expect(lastAcceptedAt).toBeGreaterThan(0);
  expect(lastAcceptedAt).toBeLessThan(checkedAt + 10_000);
});
