import type { ServerResponse } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { createServiceToken, revokeServiceToken } from '../src/auth/serviceTokens.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { type Sql, sql } from '../src/platform/database/database.ts';
import { codesOf, request } from './support/client.ts';
import { createRoom, DELETE_ROOM, REACT } from './support/rooms.ts';
import { createTestDatabase, startTestServer, type TestServer } from './support/server.ts';
import {
  ALLOW,
  bodiesOf,
  CREATE_WEBHOOK,
  openShop,
  type Receiver,
  seqsOf,
  type Shop,
  SHORT,
  startReceiver,
} from './support/webhooks.ts';
import { startDns } from './support/web.ts';
import { cursorOf, send, world } from './support/world.ts';

const STATE = `query ($id: ID!) { webhook(id: $id) { state error lag failingChatrooms {
  chatroomId state attempts lastError lag } } }`;
const RESUME = `mutation ($id: ID!, $room: ID, $from: WebhookStart) {
  resumeWebhook(input: { webhookId: $id, chatroomId: $room, from: $from }) { webhook { state error } } }`;
const UPDATE = `mutation ($input: UpdateWebhookInput!) { updateWebhook(input: $input) { webhook { id name url events } } }`;
const ROTATE = `mutation ($id: ID!) { rotateWebhookSecret(input: { webhookId: $id }) { secret webhook { previousSecretUntil } } }`;
const DELETE = `mutation ($id: ID!) { deleteWebhook(input: { webhookId: $id }) { deletedWebhookId } }`;
const TEST = `mutation ($id: ID!) { testWebhook(input: { webhookId: $id }) { delivered status durationMs error } }`;
const REDELIVER = `mutation ($id: ID!, $room: ID!, $seq: Int!) {
  redeliver(input: { webhookId: $id, chatroomId: $room, seq: $seq }) { delivered status error } }`;

/** Starts a server with ann, ben and a room, a service and a receiver. */
async function openPlace(options: Parameters<typeof startTestServer>[0] = {}) {
  const server = await startTestServer({ webhooks: SHORT, ...options, env: { ...ALLOW, ...options.env } });
  const [people, shop, receiver] = [await world(server), await openShop(server), await startReceiver()];
  return { server, ...people, shop, receiver };
}

const stateOf = async (shop: Shop, id: string) => (await shop.ask(STATE, { id })).data.webhook;
/** Responds with a status, once for each entry, and then with 204. */
function respondWith(receiver: Receiver, ...statuses: number[]): void {
  receiver.respond = (_, response) => void response.writeHead(statuses.shift() ?? 204).end();
}
/** Returns the number of statements that an action runs. */
async function statementsOf(server: TestServer, act: () => Promise<unknown>): Promise<number> {
  server.statements();
  await act();
  return server.statements().length;
}

describe('a delivery', () => {
  test('begins with the first event after createWebhook, signed, with the default document', async () => {
    const { ann, room, shop, receiver } = await openPlace();
    await send(ann, room, 'before');
    await shop.create(receiver);
    const { id } = await send(ann, room, 'hello');
    await expect.poll(() => bodiesOf(receiver)).toEqual(['hello']);
    expect(receiver.invalid).toEqual([]);
    const [received] = receiver.received;
    const event = received?.body.data.chatroomEvents;
    expect(received?.id).toBe(`${room}:${event.seq}`);
    expect(received?.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8' });
    expect(event).toMatchObject({
      __typename: 'MessageAdded',
      chatroom: { id: room, name: 'A room' },
      message: { id, body: 'hello', sender: { username: 'ann' } },
    });
  });

  test('has the result of the stored document as its body', async () => {
    const { ann, room, shop, receiver } = await openPlace();
    const document = `subscription ($chatroomId: ID!) { messageAdded(chatroomId: $chatroomId) { message { body number sender { nickname } } } }`;
    await shop.create(receiver, { document });
    await send(ann, room, 'hello');
    await expect
      .poll(() => receiver.received[0]?.body)
      .toEqual({ data: { messageAdded: { message: { body: 'hello', number: 1, sender: { nickname: 'ann' } } } } });
  });

  test('leaves out events of other kinds and of other rooms', async () => {
    const { ann, ben, room, shop, receiver } = await openPlace();
    const other = await createRoom(ann, { kind: 'GROUP', name: 'Other', memberIds: [ben.id] });
    const id = await shop.create(receiver, { chatroomId: room, events: ['REACTIONS_CHANGED'] });
    await send(ann, other, 'elsewhere');
    const message = await send(ann, room, 'hello');
    await ben.ask(REACT, { id: message.id, emoji: '👍' });
    await send(ann, room, 'more');
    await expect.poll(() => receiver.received.length).toBe(1);
    expect(receiver.received[0]?.body.data.chatroomEvents).toMatchObject({
      __typename: 'ReactionsChanged',
      message: { reactions: [{ emoji: '👍', count: 1 }] },
    });
    await expect.poll(async () => (await stateOf(shop, id)).lag).toBe(0);
  });

  test('shows what blocks hide from users', async () => {
    const { ann, ben, room, shop, receiver } = await openPlace();
    await ann.ask('mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }', { id: ben.id });
    const document = `subscription { chatroomEvents(chatroomId: "") { __typename ... on ReactionsChanged { message {
      body replyTo { body } reactions { count } } } } }`;
    await shop.create(receiver, { events: ['REACTIONS_CHANGED'], document });
    const first = await send(ben, room, 'first');
    const second = await send(ann, room, 'second', { replyToId: first.id });
    await ben.ask(REACT, { id: second.id, emoji: '👍' });
    await expect
      .poll(() => receiver.received[0]?.body)
      .toEqual({
        data: {
          chatroomEvents: {
            __typename: 'ReactionsChanged',
            message: { body: 'second', replyTo: { body: 'first' }, reactions: [{ count: 1 }] },
          },
        },
      });
  });

  test('adds no statement to the sending of a message', async () => {
    const { server, ann, room, shop, receiver } = await openPlace();
    await send(ann, room, 'first');
    const before = await statementsOf(server, () => send(ann, room, 'second'));
    const id = await shop.create(receiver);
    receiver.respond = () => undefined;
    await send(ann, room, 'third');
    await expect.poll(() => receiver.received.length).toBe(1);
    // The receiver hangs, so that the worker runs no statements of its own.
    expect(await statementsOf(server, () => send(ann, room, 'fourth'))).toBe(before);
    await shop.ask(DELETE, { id });
  });
});

describe('the order of a room', () => {
  test('is kept while the receiver fails at random', async () => {
    const { ann, room, shop, receiver } = await openPlace();
    let requests = 0;
    receiver.respond = (_, response) => void response.writeHead([204, 500, 204, 429, 302][requests++ % 5] ?? 204).end();
    await shop.create(receiver);
    const bodies = Array.from({ length: 12 }, (_, i) => `message ${i}`);
    for (const body of bodies) await send(ann, room, body);
    await expect.poll(() => bodiesOf(receiver)).toEqual(bodies);
    // An attempt that was refused is repeated before the next event: only its id may come again.
    const seqs = receiver.received.map(({ id }) => Number(id.split(':')[1]));
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(receiver.received.length).toBeGreaterThan(bodies.length);
    expect(receiver.invalid).toEqual([]);
  });

  test('does not depend on other rooms that fail or hang', async () => {
    const { ann, ben, room, shop, receiver } = await openPlace();
    const other = await createRoom(ann, { kind: 'GROUP', name: 'Other', memberIds: [ben.id] });
    receiver.respond = ({ id }, response) => {
      if (!id.startsWith(other)) response.writeHead(204).end();
    };
    const id = await shop.create(receiver);
    await send(ann, other, 'hangs');
    await expect.poll(() => receiver.received.length).toBe(1);
    await send(ann, room, 'one');
    await send(ann, room, 'two');
    await expect.poll(() => bodiesOf(receiver)).toEqual(['hangs', 'one', 'two']);
    expect((await stateOf(shop, id)).state).toBe('ACTIVE');
  });

  test('that hangs causes no scan for further events of its room', async () => {
    const { server, ann, ben, room, shop, receiver } = await openPlace();
    const other = await createRoom(ann, { kind: 'GROUP', name: 'Other', memberIds: [ben.id] });
    const [roomKey = '', otherKey = ''] = [room, other].map((id) => String(keyOf('Chatroom', id)));
    const { bus, changePoller, database, webhooks } = server.node;
    const { query } = database;
    let scans = 0;
    Object.assign(database, {
      query(statement: Sql) {
        if (statement.text.includes('SET scanned')) scans += 1;
        return query(statement);
      },
    });
    receiver.respond = () => undefined;
    await shop.create(receiver);
    // The poll that finds the message is followed by the last scan for it.
    const polled = new Promise<void>((resolve) => {
      changePoller.listen(({ rooms }) => {
        if (rooms.has(roomKey)) resolve();
      });
    });
    await send(ann, room, 'hangs');
    await polled;
    await expect.poll(() => webhooks.lag()).toEqual({ rooms: 1, events: 1 });
    const scansAfterHint = async (chatroomId: string) => {
      const hinted = new Promise((resolve) => bus.subscribe('webhook events', resolve, () => undefined));
      const before = scans;
      webhooks.notifyGrowth([chatroomId]);
      await hinted;
      return scans - before;
    };
    expect(await scansAfterHint(roomKey)).toBe(0);
    expect(await scansAfterHint(otherKey)).toBe(1);
    // The room reads its log to the end when the receiver responds again.
    await send(ann, room, 'more');
    respondWith(receiver);
    receiver.interrupt();
    await expect.poll(() => bodiesOf(receiver)).toEqual(['hangs', 'more']);
  });

  test('survives an event that is committed while the end of the log is read', async () => {
    const { server, ann, room, shop, receiver } = await openPlace();
    const { database, webhooks } = server.node;
    const { prepared } = database;
    const held: (() => void)[] = [];
    // Delays the results of empty pages.
    Object.assign(database, {
      async prepared(statement: Sql) {
        const rows = await prepared(statement);
        if (rows.length === 0 && statement.text.includes('"roomKind"'))
          await new Promise<void>((resolve) => held.push(resolve));
        return rows;
      },
    });
    const id = await shop.create(receiver);
    await send(ann, room, 'one');
    await expect.poll(() => held.length).toBe(1);
    const { seq } = receiver.received[0]?.body.data.chatroomEvents as { seq: number };
    await send(ann, room, 'two');
    await expect.poll(() => webhooks.lag()).toEqual({ rooms: 1, events: 1 });
    Object.assign(database, { prepared });
    held[0]?.();
    await expect.poll(() => seqsOf(receiver, room)).toEqual([seq, seq + 1]);
    expect(await stateOf(shop, id)).toMatchObject({ state: 'ACTIVE', failingChatrooms: [] });
  });

  test('continues on another node after a stop', async () => {
    const databaseUrl = await createTestDatabase();
    const { server, ann, room, shop, receiver } = await openPlace({ databaseUrl });
    await shop.create(receiver);
    await send(ann, room, 'one');
    await expect.poll(() => bodiesOf(receiver)).toEqual(['one']);
    const second = await startTestServer({ databaseUrl, env: ALLOW, webhooks: SHORT });
    receiver.respond = () => undefined;
    await send(ann, room, 'two');
    await expect.poll(() => receiver.received.length).toBe(2);
    respondWith(receiver);
    await server.stop();
    await expect.poll(() => second.node.counters.webhooks.delivered).toBe(1);
    expect(bodiesOf(receiver)).toEqual(['one', 'two']);
  });
});

/** Two nodes, of which the first keeps no lease after a second. A node that was paused behaves like this. */
async function openPausedPlace(firstDelayMs: number) {
  const databaseUrl = await createTestDatabase();
  const paused = { leaseMs: 1_000, renewMs: 60_000, firstDelayMs };
  const place = await openPlace({ databaseUrl, webhooks: paused });
  await place.shop.create(place.receiver);
  const startOther = () => startTestServer({ databaseUrl, env: ALLOW, webhooks: { ...SHORT, renewMs: 50 } });
  return { ...place, startOther };
}

describe('a node that lost its lease without knowing', () => {
  test('moves no cursor, and the next node delivers all events', async () => {
    const { server, ann, room, shop, receiver, startOther } = await openPausedPlace(50);
    const open: ServerResponse[] = [];
    receiver.respond = (_, response) => void open.push(response);
    for (const body of ['one', 'two', 'three']) await send(ann, room, body);
    await expect.poll(() => open.length).toBe(1);
    const other = await startOther();
    await expect.poll(() => open.length, { timeout: 5_000 }).toBe(2);
    // The former node is acknowledged first.
    open[0]?.writeHead(204).end();
    await expect.poll(() => server.node.counters.webhooks.delivered).toBe(1);
    await server.stop();
    receiver.respond = (_, response) => void response.writeHead(204).end();
    for (const response of open.slice(1)) response.writeHead(204).end();
    await expect.poll(() => other.node.counters.webhooks.delivered).toBe(3);
    expect(receiver.received.map(({ body }) => body.data.chatroomEvents.message.body)).toEqual([
      'one',
      'one',
      'two',
      'three',
    ]);
    const { data } = await request(other.url, '{ webhooks { lag } }', {}, { authorization: `Bearer ${shop.token}` });
    expect(data.webhooks).toEqual([{ lag: 0 }]);
  });

  test('sends no event after later ones', async () => {
    const { ann, room, receiver, startOther } = await openPausedPlace(2_500);
    respondWith(receiver, 503);
    for (const body of ['one', 'two', 'three']) await send(ann, room, body);
    await expect.poll(() => receiver.received.length).toBe(1);
    const failedAt = performance.now();
    const other = await startOther();
    await other.node.database.query(sql`UPDATE webhook_cursors SET next_attempt_at = NULL`);
    await expect.poll(() => bodiesOf(receiver), { timeout: 5_000 }).toEqual(['one', 'two', 'three']);
    // The former node would repeat the event 2.5 s after its failure.
    await expect.poll(() => performance.now() - failedAt, { timeout: 5_000 }).toBeGreaterThan(3_500);
    expect(receiver.received.map(({ body }) => body.data.chatroomEvents.message.body)).toEqual([
      'one',
      'one',
      'two',
      'three',
    ]);
  });
});

describe('a failure', () => {
  test('is retried with growing delays, and is shown', async () => {
    const { ann, room, shop, receiver } = await openPlace({ webhooks: { firstDelayMs: 100, maxDelayMs: 400 } });
    const times: number[] = [];
    receiver.respond = (_, response) => {
      times.push(performance.now());
      response.writeHead(503).end();
    };
    const id = await shop.create(receiver);
    await send(ann, room, 'hello');
    await expect.poll(() => times.length).toBeGreaterThanOrEqual(5);
    const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    expect(gaps[0]).toBeGreaterThanOrEqual(99);
    expect(gaps[1]).toBeGreaterThanOrEqual(199);
    expect(gaps[3]).toBeGreaterThanOrEqual(399);
    const { state, lag, failingChatrooms } = await stateOf(shop, id);
    expect({ state, lag }).toEqual({ state: 'ACTIVE', lag: 1 });
    expect(failingChatrooms).toMatchObject([
      { chatroomId: room, state: 'ACTIVE', lastError: 'The receiver responded with status 503.', lag: 1 },
    ]);
    // Each attempt has the same id and a valid signature of its own time.
    expect(new Set(receiver.received.map(({ id: each }) => each)).size).toBe(1);
    respondWith(receiver);
    await expect.poll(async () => (await stateOf(shop, id)).failingChatrooms).toEqual([]);
  });

  test('ends in FAILED, and resumeWebhook continues where it stopped', async () => {
    const { ann, room, shop, receiver } = await openPlace({ webhooks: { ...SHORT, giveUpMs: 300 } });
    receiver.respond = (_, response) => void response.writeHead(500).end();
    const id = await shop.create(receiver);
    await send(ann, room, 'one');
    await send(ann, room, 'two');
    await expect.poll(async () => (await stateOf(shop, id)).state).toBe('FAILED');
    expect((await stateOf(shop, id)).error).toMatch(/acknowledged nothing for too long.*status 500/);
    const attempts = receiver.received.length;
    await send(ann, room, 'three');
    respondWith(receiver);
    const { data } = await shop.ask(RESUME, { id });
    expect(data.resumeWebhook.webhook).toEqual({ state: 'ACTIVE', error: null });
    await expect.poll(() => bodiesOf(receiver)).toEqual(['one', 'two', 'three']);
    expect(receiver.received.slice(attempts).map(({ body }) => body.data.chatroomEvents.message.body)).toEqual([
      ...['one', 'two', 'three'],
    ]);
  });

  test('of one room ends in FAILED for that room only', async () => {
    const { ann, ben, room, shop, receiver } = await openPlace({ webhooks: { ...SHORT, giveUpMs: 1_500 } });
    const other = await createRoom(ann, { kind: 'GROUP', name: 'Other', memberIds: [ben.id] });
    const isPoison = { current: true };
    receiver.respond = ({ id }, response) => {
      response.writeHead(isPoison.current && id.startsWith(other) ? 422 : 204).end();
    };
    const id = await shop.create(receiver);
    await send(ann, other, 'poison');
    const roomsOf = async () => (await stateOf(shop, id)).failingChatrooms.map((each: any) => each.state);
    let sent = 0;
    await expect
      .poll(async () => {
        await send(ann, room, `message ${(sent += 1)}`);
        return roomsOf();
      })
      .toEqual(['FAILED']);
    expect((await stateOf(shop, id)).state).toBe('ACTIVE');
    isPoison.current = false;
    await shop.ask(RESUME, { id, room: other });
    await expect.poll(roomsOf).toEqual([]);
    await expect.poll(() => seqsOf(receiver, other).length).toBe(1);
  });

  test('with 410 Gone ends in FAILED at once', async () => {
    const { ann, room, shop, receiver } = await openPlace();
    respondWith(receiver, 410);
    const id = await shop.create(receiver);
    await send(ann, room, 'hello');
    await expect.poll(async () => (await stateOf(shop, id)).state).toBe('FAILED');
    expect(receiver.received.length).toBe(1);
  });

  test('is a redirect, which is not followed', async () => {
    const { ann, room, shop, receiver } = await openPlace();
    const target = await startReceiver();
    receiver.respond = (_, response) => void response.writeHead(307, { location: target.url }).end();
    const id = await shop.create(receiver);
    await send(ann, room, 'hello');
    await expect
      .poll(async () => (await stateOf(shop, id)).failingChatrooms[0]?.lastError)
      .toMatch(/redirects with status 307/);
    expect([target.received, target.invalid]).toEqual([[], []]);
  });

  test('is a receiver that hangs, before or within its response', async () => {
    const { ann, room, shop, receiver } = await openPlace({ webhooks: { ...SHORT, timeoutMs: 200 } });
    let requests = 0;
    receiver.respond = (_, response) => {
      requests += 1;
      if (requests === 2) response.writeHead(200).write('{');
      if (requests > 2) response.writeHead(204).end();
    };
    await shop.create(receiver);
    await send(ann, room, 'hello');
    await expect.poll(() => receiver.received.length).toBe(3);
  });
});

describe('resumeWebhook', () => {
  test('repeats the events after a cursor, a time, and none for now', async () => {
    const { ann, room, shop, receiver } = await openPlace();
    const id = await shop.create(receiver);
    await send(ann, room, 'one');
    const cursor = await cursorOf(ann, room);
    await send(ann, room, 'two');
    await expect.poll(() => receiver.received.length).toBe(2);
    await shop.ask(RESUME, { id, room, from: { cursor } });
    await expect.poll(() => receiver.received.length).toBe(3);
    expect(receiver.received[2]?.id).toBe(receiver.received[1]?.id);

    await shop.ask(RESUME, { id, from: { time: new Date(Date.now() - 60_000).toISOString() } });
    await expect.poll(() => receiver.received.length).toBe(5);
    expect(receiver.received.slice(3).map((each) => each.id)).toEqual(
      receiver.received.slice(0, 2).map((each) => each.id),
    );

    receiver.respond = (_, response) => void response.writeHead(500).end();
    await send(ann, room, 'left out');
    await expect.poll(() => receiver.received.length).toBeGreaterThan(5);
    await shop.ask(RESUME, { id, from: { now: true } });
    respondWith(receiver);
    await send(ann, room, 'last');
    await expect.poll(() => receiver.received.at(-1)?.body.data.chatroomEvents.message.body).toBe('last');
  });

  test('refuses cursors without their room, of another room, and times before the log', async () => {
    const { ann, ben, room, shop, receiver } = await openPlace();
    const other = await createRoom(ann, { kind: 'GROUP', name: 'Other', memberIds: [ben.id] });
    const id = await shop.create(receiver);
    const cursor = await cursorOf(ann, room);
    const refused = async (variables: object) => codesOf(await shop.ask(RESUME, { id, ...variables }));
    expect(await refused({ from: { cursor } })).toEqual(['BAD_USER_INPUT']);
    expect(await refused({ room: other, from: { cursor } })).toEqual(['BAD_USER_INPUT']);
    expect(await refused({ from: { time: '2020-01-01T00:00:00.000Z' } })).toEqual(['BAD_USER_INPUT']);
    expect(await refused({ from: { now: false } })).toEqual(['BAD_USER_INPUT']);
    expect(await refused({ room: 'junk' })).toEqual(['NOT_FOUND']);
  });

  test('is needed after events have been pruned from the log', async () => {
    const { server, ann, room, shop, receiver } = await openPlace();
    const { database } = server.node;
    receiver.respond = (_, response) => void response.writeHead(500).end();
    const id = await shop.create(receiver);
    await send(ann, room, 'one');
    await expect.poll(() => receiver.received.length).toBeGreaterThan(0);
    await send(ann, room, 'two');
    await database.query(
      sql`DELETE FROM events WHERE chatroom_id = ${keyOf('Chatroom', room)}::uuid AND seq < (SELECT max(seq) FROM events)`,
    );
    await expect.poll(async () => (await stateOf(shop, id)).failingChatrooms[0]?.state).toBe('FAILED');
    expect((await stateOf(shop, id)).failingChatrooms[0].lastError).toMatch(/deleted from the log/);
    expect(codesOf(await shop.ask(RESUME, { id, room }))).toEqual(['RESYNC_REQUIRED']);
    respondWith(receiver);
    await shop.ask(RESUME, { id, from: { time: new Date(Date.now() - 60_000).toISOString() } });
    await expect.poll(() => bodiesOf(receiver)).toEqual(['one', 'two']);
  });

  test('is needed after a scan that is too old, or of another database', async () => {
    const { server, ann, room, shop, receiver } = await openPlace();
    const { database } = server.node;
    const id = await shop.create(receiver);
    for (const change of [sql`scanned_at = now() - interval '1 year'`, sql`database_id = 'other'`]) {
      await database.query(sql`UPDATE webhooks SET ${change}, lease_id = NULL, lease_until = NULL`);
      server.node.webhooks.notifyChanged();
      await expect.poll(async () => (await stateOf(shop, id)).state).toBe('FAILED');
      expect(codesOf(await shop.ask(RESUME, { id }))).toEqual(['RESYNC_REQUIRED']);
      await shop.ask(RESUME, { id, from: { now: true } });
    }
    await send(ann, room, 'hello');
    await expect.poll(() => bodiesOf(receiver)).toEqual(['hello']);
  });
});

describe('a service', () => {
  test('rotates a secret: both are valid, and then the new one', async () => {
    const { server, ann, room, shop, receiver } = await openPlace();
    const id = await shop.create(receiver);
    const former = receiver.secret;
    const { data } = await shop.ask(ROTATE, { id });
    expect(data.rotateWebhookSecret.secret).not.toBe(former);
    const hours = (new Date(data.rotateWebhookSecret.webhook.previousSecretUntil).getTime() - Date.now()) / 3_600_000;
    expect(hours).toBeCloseTo(24, 1);
    await expect.poll(async () => (await shop.ask(TEST, { id })).data.testWebhook.delivered).toBe(true);
    await send(ann, room, 'both');
    await expect.poll(() => bodiesOf({ ...receiver, received: receiver.received.filter(isEvent) })).toEqual(['both']);
    const both = receiver.received.at(-1);
    new Webhook(data.rotateWebhookSecret.secret).verify(both?.text ?? '', both?.headers as Record<string, string>);

    await server.node.database.query(sql`UPDATE webhooks SET previous_secret_until = now()`);
    const { data: tested } = await shop.ask(TEST, { id });
    expect(tested.testWebhook).toMatchObject({ delivered: false, status: 401 });
    receiver.secret = data.rotateWebhookSecret.secret;
    expect((await shop.ask(TEST, { id })).data.testWebhook.delivered).toBe(true);
  });

  test('tests a webhook, and learns status, duration and error', async () => {
    const { shop, receiver } = await openPlace();
    const id = await shop.create(receiver);
    expect((await shop.ask(TEST, { id })).data.testWebhook).toEqual({
      ...{ delivered: true, status: 204, error: null },
      durationMs: expect.any(Number),
    });
    expect(receiver.received[0]?.id).toMatch(/^test:/);
    expect(receiver.received[0]?.body.data.webhookTest).toEqual({ webhookId: id, name: 'hook 1' });
    await shop.ask(UPDATE, { input: { webhookId: id, url: 'http://127.0.0.1:1/' } });
    const { data } = await shop.ask(TEST, { id });
    expect(data.testWebhook).toMatchObject({ delivered: false, status: null });
    expect(data.testWebhook.error).toMatch(/ECONNREFUSED/);
  });

  test('has an event sent again with the same id', async () => {
    const { ann, room, shop, receiver } = await openPlace();
    const id = await shop.create(receiver);
    await send(ann, room, 'hello');
    await expect.poll(() => receiver.received.length).toBe(1);
    const seq = Number(receiver.received[0]?.id.split(':')[1]);
    expect((await shop.ask(REDELIVER, { id, room, seq })).data.redeliver).toMatchObject({ delivered: true });
    expect(receiver.received.map((each) => each.id)).toEqual([`${room}:${seq}`, `${room}:${seq}`]);
    expect(codesOf(await shop.ask(REDELIVER, { id, room, seq: 999 }))).toEqual(['NOT_FOUND']);
    expect(codesOf(await shop.ask(REDELIVER, { id, room, seq: 1 }))).toEqual(['BAD_USER_INPUT']);
  });

  test('changes and deletes a webhook', async () => {
    const { ann, room, shop, receiver } = await openPlace();
    const id = await shop.create(receiver);
    const next = await startReceiver();
    next.secret = receiver.secret;
    const input = { webhookId: id, url: next.url, name: 'renamed', events: ['MESSAGE_ADDED', 'MESSAGE_EDITED'] };
    expect((await shop.ask(UPDATE, { input })).data.updateWebhook.webhook).toMatchObject({
      name: 'renamed',
      url: next.url,
    });
    let sent = 0;
    await expect
      .poll(async () => {
        await send(ann, room, `message ${(sent += 1)}`);
        return next.received.length;
      })
      .toBeGreaterThan(0);
    expect((await shop.ask(DELETE, { id })).data.deleteWebhook.deletedWebhookId).toBe(id);
    expect((await shop.ask(STATE, { id })).data.webhook).toBeNull();
    expect(codesOf(await shop.ask(DELETE, { id }))).toEqual(['NOT_FOUND']);
  });

  test('creates a webhook of one name once, and sees only its own webhooks', async () => {
    const { server, shop, receiver } = await openPlace();
    const id = await shop.create(receiver, { name: 'orders' });
    const input = { name: 'orders', url: receiver.url, events: ['MESSAGE_ADDED'] };
    expect(codesOf(await shop.ask(CREATE_WEBHOOK, { input }))).toEqual(['CONFLICT']);
    const other = await openShop(server, 'other');
    expect((await other.ask('{ webhooks { id } }')).data.webhooks).toEqual([]);
    expect((await other.ask(STATE, { id })).data.webhook).toBeNull();
    for (const query of [DELETE, ROTATE, TEST, RESUME])
      expect(codesOf(await other.ask(query, { id }))).toEqual(['NOT_FOUND']);
    expect((await shop.ask('{ webhooks { id name } }')).data.webhooks).toEqual([{ id, name: 'orders' }]);
  });

  test('has at most 20 webhooks', async () => {
    const { shop, receiver } = await openPlace();
    for (let i = 0; i < 20; i += 1) await shop.create(receiver);
    const input = { name: 'one more', url: receiver.url, events: ['MESSAGE_ADDED'] };
    expect(codesOf(await shop.ask(CREATE_WEBHOOK, { input }))).toEqual(['LIMIT_REACHED']);
  });

  test('receives nothing while its token is revoked', async () => {
    const { server, ann, room, shop, receiver } = await openPlace({
      webhooks: { ...SHORT, leaseMs: 800, renewMs: 100 },
    });
    await shop.create(receiver);
    await send(ann, room, 'one');
    await expect.poll(() => bodiesOf(receiver)).toEqual(['one']);
    await revokeServiceToken(server.node.database, 'shop');
    await expect.poll(() => server.node.webhooks.workers()).toBe(0);
    await send(ann, room, 'two');
    await createServiceToken(server.node.database, 'shop', ['webhooks:write']);
    server.node.webhooks.notifyChanged();
    await expect.poll(() => bodiesOf(receiver)).toEqual(['one', 'two']);
  });
});

describe('a URL', () => {
  test.each([
    ['https://10.0.0.1/', 'a private address'],
    ['https://[::1]/', 'a loopback address'],
    ['https://169.254.169.254/latest', 'a metadata service'],
    ['http://example.org/', 'plain http'],
    ['ftp://example.org/', 'another protocol'],
    ['https://user:secret@example.org/', 'a password'],
    ['nonsense', 'no URL'],
  ])('%s is refused: %s', async (url) => {
    const { shop } = await openPlace();
    const input = { name: 'hook', url, events: ['MESSAGE_ADDED'] };
    const result = await shop.ask(CREATE_WEBHOOK, { input });
    expect(codesOf(result)).toEqual(['BAD_USER_INPUT']);
    expect(result.errors?.[0]?.extensions['path']).toEqual(['input', 'url']);
  });
});

test('a receiver whose name has a private address is refused when it is connected', async () => {
  const trap = await startReceiver();
  const dnsServers = await startDns(() => ['127.0.0.1']);
  const { shop } = await openPlace({ env: { WEBHOOK_ALLOW: '10.0.0.0/8' }, webhooks: { ...SHORT, dnsServers } });
  const url = `https://rebound.example.org:${new URL(trap.url).port}/`;
  const input = { name: 'hook', url, events: ['MESSAGE_ADDED'] };
  const { id } = (await shop.ask(CREATE_WEBHOOK, { input })).data.createWebhook.webhook;
  const { data } = await shop.ask(TEST, { id });
  expect(data.testWebhook).toMatchObject({ delivered: false, status: null });
  expect(data.testWebhook.error).toMatch(/no address, or one that is not public/);
  expect([trap.received, trap.invalid]).toEqual([[], []]);
});

test('a host in WEBHOOK_ALLOW is reached by its name', async () => {
  const { ann, room, shop, receiver } = await openPlace({ env: { WEBHOOK_ALLOW: 'localhost' } });
  await shop.create(receiver, { url: receiver.url.replace('127.0.0.1', 'localhost') });
  await send(ann, room, 'hello');
  await expect.poll(() => bodiesOf(receiver)).toEqual(['hello']);
});

describe('a deleted room', () => {
  test('ends what waits for it, and its own webhooks', async () => {
    const { server, ann, ben, room, shop, receiver } = await openPlace();
    const other = await createRoom(ann, { kind: 'GROUP', name: 'Other', memberIds: [ben.id] });
    receiver.respond = ({ id }, response) => void response.writeHead(id.startsWith(other) ? 500 : 204).end();
    const all = await shop.create(receiver);
    await send(ann, other, 'fails');
    await expect.poll(async () => (await stateOf(shop, all)).failingChatrooms.length).toBe(1);
    const own = (
      await shop.ask(CREATE_WEBHOOK, {
        input: { name: 'own', url: receiver.url, events: ['MESSAGE_ADDED'], chatroomId: other },
      })
    ).data.createWebhook.webhook.id;
    await ann.ask(DELETE_ROOM, { id: other });
    await expect.poll(async () => (await stateOf(shop, all)).failingChatrooms).toEqual([]);
    await expect.poll(async () => (await shop.ask(STATE, { id: own })).data.webhook).toBeNull();
    await send(ann, room, 'goes on');
    await expect.poll(() => bodiesOf(receiver).at(-1)).toBe('goes on');
    expect((await stateOf(shop, all)).state).toBe('ACTIVE');
    await expect.poll(() => server.node.webhooks.lag()).toEqual({ rooms: 0, events: 0 });
  });
});

function isEvent({ id }: { id: string }): boolean {
  return !id.startsWith('test:');
}
