import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createAccounts } from './support/accounts.ts';
import { PASSWORD, type Person, type Stream } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import {
  ADD,
  createRoom,
  DELETE_MESSAGE,
  DELETE_ROOM,
  FRIEND,
  LEAVE,
  MARK_READ,
  REACT,
  REMOVE,
} from './support/rooms.ts';
import { createTestDatabase, startTestServer, type TestServer, waitForPoll, WIDE_LIMITS } from './support/server.ts';
import { SEND, send, world } from './support/world.ts';

// A client applies events to the store of examples/store. Users write, read, join, leave, block, delete and change their profiles at
// the same time, on any node. The store must become what a new query returns, also for a client that resumes from any earlier cursor.

const { apply, emptyStore, EVENTS, QUERY, storeOf } = await import(
  new URL('../examples/store/store.mjs', import.meta.url).href
);

const EDIT = `mutation ($id: ID!, $body: String!) { editMessage(input: { messageId: $id, body: $body }) { message { id } } }`;
const UNREACT = `mutation ($id: ID!) { removeReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
const RENAME = `mutation ($id: ID!, $name: String) { updateChatroom(input: { chatroomId: $id, name: $name }) { chatroom { id } } }`;
const MARK_UNREAD = `mutation ($id: ID!) { markUnread(input: { messageId: $id }) { chatroom { id } } }`;
const SET_BIO = `mutation ($bio: String) { updateProfile(input: { bio: $bio }) { viewer { id } } }`;
const DELETE_ACCOUNT = `mutation ($password: String) { deleteAccount(input: { password: $password }) { ok } }`;
const call = (name: string, more = '{ viewer { id } }') =>
  `mutation ($id: ID!) { ${name}(input: { userId: $id }) ${more} }`;

/** Number of saved stores from which clients resume at the end of a history. */
const RESUMES = 6;
/** Time after which a property stops with the cases that it has tried, in milliseconds. */
const TIME_LIMIT_MS = 40_000;
const limits = { numRuns: 15, interruptAfterTimeLimit: TIME_LIMIT_MS, endOnFailure: true };

const copy = (store: any) => structuredClone(store);
const queried = async (viewer: Person) => storeOf((await viewer.ask(QUERY)).viewer);

/** Returns the parts in which two stores differ. */
function diff({ profile, friends, blocked, rooms }: any, fresh: any): unknown[] {
  const ids = Object.keys({ ...rooms, ...fresh.rooms });
  const pairs = [
    ...[
      [profile, fresh.profile],
      [friends, fresh.friends],
      [blocked, fresh.blocked],
    ],
    ...ids.map((id) => [rooms[id], fresh.rooms[id]]),
  ];
  return pairs.filter(([a, b]) => !isDeepStrictEqual(a, b));
}

/** A client with a local store. It saves the store after each event. */
class Client {
  readonly saved: any[] = [];
  readonly snapshots: unknown[] = [];
  store: any;
  #applied = 0;
  readonly #stream: Stream;

  constructor(viewer: Person, store = emptyStore()) {
    this.store = copy(store);
    this.#stream = viewer.connect().subscribe(EVENTS, { after: store.cursor });
  }

  /** Applies the events received so far. */
  update(): any {
    for (const event of this.#stream.received.slice(this.#applied)) {
      const before = this.store.cursor;
      apply(this.store, event);
      this.saved.push(copy(this.store));
      if (event.__typename === 'AppSnapshot') this.snapshots.push({ reason: event.reason, before });
    }
    this.#applied = this.#stream.received.length;
    return this.store;
  }
}

const index = fc.nat({ max: 9 });
const action = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('send') },
    { weight: 5, arbitrary: fc.constantFrom('edit', 'delete', 'react', 'unreact', 'rename') },
    { weight: 4, arbitrary: fc.constantFrom('add', 'remove', 'addFriend', 'removeFriend', 'direct', 'deleteRoom') },
  ),
  index,
});
const viewerAction = fc.record({
  kind: fc.oneof(
    { weight: 3, arbitrary: fc.constant('open') },
    { weight: 6, arbitrary: fc.constantFrom('send', 'react', 'leave', 'resume', 'addFriend', 'removeFriend') },
    { weight: 5, arbitrary: fc.constantFrom('markRead', 'markUnread') },
    { weight: 2, arbitrary: fc.constantFrom('blockUser', 'unblockUser', 'setBio', 'deleteFriend') },
  ),
  index,
});
const history = fc.record({
  writers: fc.array(fc.array(action, { minLength: 2, maxLength: 12 }), { minLength: 2, maxLength: 2 }),
  viewer: fc.array(viewerAction, { minLength: 2, maxLength: 10 }),
});
type History = typeof history extends fc.Arbitrary<infer Value> ? Value : never;

/** Runs one history in two new rooms, and checks each client. */
async function play(servers: TestServer[], people: Person[], { writers, viewer: steps }: History): Promise<void> {
  const at = (person: Person, i: number) => person.at(servers[i % servers.length]?.url ?? '');
  const [viewer, ...others] = people as [Person, Person, Person];
  for (const other of others) await viewer.ask(call('unblockUser'), { id: other.id });
  const memberIds = people.map(({ id }) => id);
  const rooms = await Promise.all(
    others.map((other) => createRoom(other, { kind: 'GROUP', name: 'A room', memberIds })),
  );
  const [server] = servers as [TestServer];
  const [friend] = (await createAccounts(server.node, server.url, [`friend.${crypto.randomUUID().slice(0, 8)}`])) as [
    Person,
  ];
  await viewer.ask(FRIEND, { id: friend.id });
  let isDeleted = false;
  const sent: string[] = [];
  const clients = [new Client(viewer)];

  async function write(person: Person, { kind, index }: { kind: string; index: number }, own: string[]): Promise<void> {
    // Another user may have removed the writer or deleted the message or room, which refuses the change.
    const ask = async (query: string, variables: object) =>
      (await at(person, index).connect().ask(query, variables)).data;
    const id = rooms[index % 2];
    if (kind === 'send') {
      const data = await ask(SEND, { input: { chatroomId: id, body: `message ${index}` } });
      const message = data?.sendMessage?.message.id;
      if (message) own.push(message);
      if (message) sent.push(message);
    }
    const owned = rooms[others.indexOf(person)];
    const [mine, any] = [own[index % own.length], sent[index % sent.length]];
    const other = person === viewer ? others[index % 2] : viewer;
    if (kind === 'rename') await ask(RENAME, { id: owned, name: `Room ${index}` });
    if (kind === 'add') await ask(ADD, { id: owned, users: [viewer.id] });
    if (kind === 'remove') await ask(REMOVE, { id: owned, user: viewer.id });
    if (kind === 'deleteRoom' && index < 2) await ask(DELETE_ROOM, { id: owned });
    if (kind === 'leave') await ask(LEAVE, { id });
    if (kind === 'setBio') await ask(SET_BIO, { bio: `I am ${index}.` });
    if (kind === 'markRead' && any !== undefined) await ask(MARK_READ, { id: any });
    if (kind === 'markUnread' && any !== undefined) await ask(MARK_UNREAD, { id: any });
    if (kind === 'addFriend') await ask(call(kind, '{ status }'), { id: other?.id });
    if (/^(removeFriend|blockUser|unblockUser)$/.test(kind)) await ask(call(kind), { id: other?.id });
    if (kind === 'direct') {
      const room = await at(person, index)
        .connect()
        .ask('mutation ($input: CreateChatroomInput!) { createChatroom(input: $input) { chatroom { id } } }', {
          input: { kind: 'DIRECT', memberIds: [viewer.id] },
        });
      const direct = room.data?.createChatroom?.chatroom.id;
      if (direct) await ask(SEND, { input: { chatroomId: direct, body: `direct ${index}` } });
    }
    if (kind === 'delete' && mine !== undefined) await ask(DELETE_MESSAGE, { id: mine });
    if (kind === 'edit' && mine !== undefined) await ask(EDIT, { id: mine, body: `edited ${index}` });
    if (kind === 'react' && any !== undefined) await ask(REACT, { id: any });
    if (kind === 'unreact' && any !== undefined) await ask(UNREACT, { id: any });
  }

  async function deleteFriend(index = 0): Promise<void> {
    if (!isDeleted) await at(friend, index).ask(DELETE_ACCOUNT, { password: PASSWORD });
    isDeleted = true;
  }

  /** Starts a client from a store that an earlier client has saved. */
  function resume(index: number): void {
    for (const client of clients) client.update();
    const saved = clients.flatMap((client) => client.saved);
    if (saved.length > 0) clients.push(new Client(at(viewer, index + 1), saved[(index * 7) % saved.length]));
  }

  async function view(step: { kind: string; index: number }): Promise<void> {
    if (step.kind === 'open') clients.push(new Client(at(viewer, step.index)));
    else if (step.kind === 'deleteFriend') await deleteFriend(step.index);
    else if (step.kind === 'resume') resume(step.index);
    else await write(viewer, step, []);
  }

  const lanes = writers.map(async (actions, i) => {
    const own: string[] = [];
    for (const each of actions) await write(others[i] as Person, each, own);
  });
  lanes.push(
    (async () => {
      for (const step of steps) await view(step);
    })(),
  );
  await Promise.all(lanes);
  for (const client of clients) client.update();
  for (let i = 0; i < RESUMES; i += 1) resume(i * 5);
  for (const client of clients)
    await expect.poll(async () => diff(client.update(), await queried(viewer)), { timeout: 5_000 }).toEqual([]);
  const hasUnsent = steps.some(({ kind }) => /blockUser|setBio|deleteFriend/.test(kind));
  // Only a change without an event, or the first subscription, causes a snapshot.
  if (!hasUnsent)
    for (const { snapshots } of clients) expect(snapshots.every(({ before }: any) => before === null)).toBe(true);
  await deleteFriend();
  // A poll of the next history would report the deleted account.
  for (const each of servers) await waitForPoll(each);
  for (const person of people) await endHistory(person, rooms);
}

/** Deletes the rooms of the person, which the next history would find. */
async function endHistory(person: Person, rooms: string[]): Promise<void> {
  for (const id of rooms) await person.connect().ask(DELETE_ROOM, { id });
}

test('one node: stores become what a query returns, from every cursor', { timeout: 180_000 }, async () => {
  const server = await startTestServer({ env: WIDE_LIMITS });
  const people = await createAccounts(server.node, server.url, ['ann', 'ben', 'cem']);
  await fc.assert(
    fc.asyncProperty(history, (each) => play([server], people, each)),
    limits,
  );
});

describe.skipIf(!hasRedis())('two nodes with Redis', () => {
  test('stores become what a query returns, from every cursor', { timeout: 180_000 }, async () => {
    const options = { databaseUrl: await createTestDatabase(), redisUrl: (await startRedis()).url, env: WIDE_LIMITS };
    const servers = [await startTestServer(options), await startTestServer(options)];
    const people = await createAccounts(servers[0]!.node, servers[0]!.url, ['ann', 'ben', 'cem']);
    await fc.assert(
      fc.asyncProperty(history, (each) => play(servers, people, each)),
      limits,
    );
  });
});

test('examples/store continues from the cursor in its file', { timeout: 60_000 }, async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const folder = mkdtempSync(join(tmpdir(), 'parley-store-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const file = join(folder, 'store.json');
  async function run(until: () => Promise<void>): Promise<void> {
    const program = spawn(process.execPath, ['examples/store/sync.mjs', ben.accessToken, file], {
      env: { PATH: process.env['PATH'], PARLEY_URL: `${server.url}/graphql` },
      stdio: 'inherit',
    });
    const exited = once(program, 'exit');
    try {
      await until();
    } finally {
      program.kill();
      await exited;
    }
  }
  const read = () => {
    try {
      return JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      return emptyStore();
    }
  };
  const isSynced = () => expect.poll(async () => diff(read(), await queried(ben)), { timeout: 10_000 }).toEqual([]);
  await send(ann, room, 'one');
  await run(isSynced);
  await send(ann, room, 'missed');
  await ann.ask(call('addFriend', '{ status }'), { id: ben.id });
  const late = await createRoom(ann, { kind: 'GROUP', name: 'Late', memberIds: [ben.id] });
  await send(ann, late, 'missed too');
  expect(diff(read(), await queried(ben))).not.toEqual([]);
  await run(isSynced);
});
