import { once } from 'node:events';
import { WebSocket } from 'ws';
import { sql } from '../src/platform/database/database.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { pruneLog } from '../src/delivery/roomLog.ts';
import { describe, expect, test } from 'vitest';
import type { Person } from './support/client.ts';
import { connect } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { holdTransaction, startTestNodes, startTestServer } from './support/server.ts';
import { cursorOf, MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

const numbers = (events: any[]) => events.map((event) => event.message.number);
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

describe('messageAdded', () => {
  test('delivers messages, and resumes with exactly the missed ones', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const first = ben.connect();
    const live = first.subscribe(MESSAGE_ADDED, { room, after: await cursorOf(ben, room) });
    await send(ann, room, 'one');
    const { cursor, message } = await live.next();
    expect(message).toMatchObject({ number: 1, body: 'one', sender: { username: 'ann' } });

    first.cut();
    for (const body of ['two', 'three', 'four']) await send(ann, room, body);
    const resumed = ben.connect().subscribe(MESSAGE_ADDED, { room, after: cursor });
    expect((await resumed.take(3)).map((event) => event.message.body)).toEqual(['two', 'three', 'four']);
    await send(ann, room, 'five');
    expect((await resumed.next()).message.body).toBe('five');
    expect(resumed.received).toHaveLength(4);
  });

  test('loses and repeats nothing between missed and live messages', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const start = await cursorOf(ben, room);
    const sending = (async () => {
      for (let i = 0; i < 60; i += 1)
        await Promise.all([send(ann, room, 'a'), send(ben, room, 'b'), send(ann, room, 'c')]);
    })();
    const streams = [];
    for (let i = 0; i < 20; i += 1) {
      const stream = ben.connect().subscribe(MESSAGE_ADDED, { room, after: start });
      await stream.next();
      streams.push(stream);
    }
    await sending;
    for (const stream of streams) {
      await stream.take(179);
      expect(numbers(stream.received)).toEqual(Array.from({ length: 180 }, (_, i) => i + 1));
    }
  });

  test('resumes from the cursor of a room, message, edge or event', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const before = await cursorOf(ann, room);
    const sent = await ann.ask(SEND, { input: { chatroomId: room, body: 'one' } });
    const { cursor: afterOne } = (await ann.connect().subscribe(MESSAGE_ADDED, { room, after: before }).next()) as {
      cursor: string;
    };
    const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { cursor lastMessage { cursor } } }', {
      id: room,
    });
    await send(ann, room, 'two');
    const cursors = [
      sent.sendMessage.message.cursor,
      sent.sendMessage.edge.cursor,
      afterOne,
      chatroom.cursor,
      chatroom.lastMessage.cursor,
    ];
    for (const after of cursors) {
      const stream = ann.connect().subscribe(MESSAGE_ADDED, { room, after });
      expect((await stream.next()).message.body).toBe('two');
    }
  });

  test('loses nothing if a client queries a cursor, then subscribes', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const BOTH = `query ($id: ID!) { a: chatroom(id: $id) { messages(last: 100) { nodes { number } } } b: node(id: $id) { ... on Chatroom { cursor } } }`;
    let sending = true;
    const sender = (async () => {
      while (sending) await send(ann, room, 'x');
    })();
    const asked = await Promise.all(Array.from({ length: 20 }, () => ben.ask(BOTH, { id: room })));
    sending = false;
    await sender;
    const { number: last } = await send(ann, room, 'last');
    for (const { a, b } of asked) {
      const known = a.messages.nodes.at(-1)?.number ?? 0;
      const stream = ben.connect().subscribe(MESSAGE_ADDED, { room, after: b.cursor });
      const { message } = await stream.next();
      expect(message.number).toBeLessThanOrEqual(known + 1);
      await stream.take(last - message.number);
      expect(numbers(stream.received)).toEqual(
        Array.from({ length: last - message.number + 1 }, (_, i) => message.number + i),
      );
    }
  });

  test('delivers a transaction that began before the query and committed later', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const { database } = server.node;
    const [{ id: roomKey } = { id: '' }] = await database.query<{ id: string }>({
      text: 'SELECT id FROM chatrooms',
      values: [],
    } as never);
    const { cursor } = await database.transaction(async (query) => {
      const [user] = await query<{ id: string }>({
        text: `SELECT id FROM users WHERE username = 'ann'`,
        values: [],
      } as never);
      await query({
        text: `SELECT store_message(jsonb_build_object('chatroomId', $1::uuid, 'userId', $2::uuid, 'body', 'slow'))`,
        values: [roomKey, user?.id],
      } as never);
      return { cursor: await cursorOf(ann, room) };
    });
    await send(ann, room, 'quick');
    const events = await ann.connect().subscribe(MESSAGE_ADDED, { room, after: cursor }).take(2);
    expect(events.map((event) => event.message.body)).toEqual(['slow', 'quick']);
  });

  test('refuses strangers, cursors of other rooms, and older databases', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    await send(ann, room, 'one');
    const refusal = async (person: Person, variables: object) =>
      codeOf(await person.connect().subscribe(MESSAGE_ADDED, { room, ...variables }).ended);
    expect(await refusal(eve, {})).toBe('NOT_FOUND');
    expect(await refusal(eve, { after: await cursorOf(ann, room) })).toBe('NOT_FOUND');
    expect(await refusal(ann, { room: 'junk' })).toBe('NOT_FOUND');
    expect(await refusal(ann, { after: 'junk' })).toBe('BAD_USER_INPUT');
    const other = (
      await ann.ask(
        `mutation ($with: ID!) { createChatroom(input: { kind: DIRECT, memberIds: [$with] }) { chatroom { cursor } } }`,
        { with: ben.id },
      )
    ).createChatroom.chatroom;
    expect(await refusal(ann, { after: other.cursor })).toBe('BAD_USER_INPUT');

    const cursor = Buffer.from(await cursorOf(ann, room), 'base64url')
      .toString()
      .split(' ');
    const forged = (change: (parts: string[]) => void) => {
      const parts = [...cursor];
      change(parts);
      return Buffer.from(parts.join(' ')).toString('base64url');
    };
    expect(
      await refusal(ann, {
        after: forged((parts) => {
          parts[1] = 'AAAAAAAA';
        }),
      }),
    ).toBe('RESYNC_REQUIRED');
    expect(
      await refusal(ann, {
        after: forged((parts) => {
          parts[4] = '99';
        }),
      }),
    ).toBe('RESYNC_REQUIRED');
    expect(
      await refusal(ann, {
        after: forged((parts) => {
          parts[5] = '999999999:999999999:';
        }),
      }),
    ).toBe('RESYNC_REQUIRED');
    for (const floor of ['0:1:', '5:3:', '5:9:4', '5:9:6,6', '5:9:9', 'x']) {
      expect(
        await refusal(ann, {
          after: forged((parts) => {
            parts[5] = floor;
          }),
        }),
        floor,
      ).toBe('BAD_USER_INPUT');
    }
    const anonymous = connect(server.url).subscribe(MESSAGE_ADDED, { room });
    expect(codeOf(await anonymous.ended)).toBe('UNAUTHENTICATED');
  });

  test('fails with RESYNC_REQUIRED before any event if events were pruned', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const old = await cursorOf(ann, room);
    await send(ann, room, 'one');
    const { cursor } = await send(ann, room, 'two');
    await server.node.database.prisma.event.deleteMany({ where: { number: 1 } });
    const stream = ann.connect().subscribe(MESSAGE_ADDED, { room, after: old });
    expect(codeOf(await stream.ended)).toBe('RESYNC_REQUIRED');
    expect(stream.received).toEqual([]);
    await send(ann, room, 'three');
    expect((await ann.connect().subscribe(MESSAGE_ADDED, { room, after: cursor }).next()).message.body).toBe('three');
  });

  test('resumes over SSE as well', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const after = await cursorOf(ben, room);
    await send(ann, room, 'missed');
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'text/event-stream',
        authorization: `Bearer ${ben.accessToken}`,
      },
      body: JSON.stringify({ query: MESSAGE_ADDED, variables: { room, after } }),
    });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const until = async (pattern: RegExp) => {
      while (!pattern.test(text)) text += (await reader?.read())?.value ?? '';
    };
    await until(/"body":"missed"/);
    await send(ann, room, 'live');
    await until(/"body":"live"/);
    expect(text.match(/event: next/g)).toHaveLength(2);
    await reader?.cancel();
    await expect.poll(() => server.node.roomTails.size()).toBe(0);
  });

  test('queries and mutations over WebSocket behave as over HTTP', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    const socket = ann.connect();
    const sent = await socket.ask(SEND, { input: { chatroomId: room, body: 'over the socket' } });
    expect(sent.data.sendMessage.message.number).toBe(1);
    const codes = async (result: Promise<{ errors?: { extensions: { code: string } }[] }>) =>
      (await result).errors?.map((error) => error.extensions.code);
    expect(await codes(eve.connect().ask(SEND, { input: { chatroomId: room, body: 'hi' } }))).toEqual(['NOT_FOUND']);
    expect(await codes(socket.ask('{ nothing }'))).toEqual(['BAD_USER_INPUT']);
    expect(await codes(socket.ask('{ viewer '))).toEqual(['BAD_USER_INPUT']);
    expect(await codes(socket.ask(SEND, { input: { chatroomId: room } }))).toEqual(['BAD_USER_INPUT']);
    await ann.ask('mutation { signOut { ok } }');
    expect(await socket.closed).toBe(4401);
  });

  test('releases its room tail with the last subscriber', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const connection = ann.connect();
    const streams = [1, 2, 3].map(() => connection.subscribe(MESSAGE_ADDED, { room }));
    await expect.poll(() => server.node.roomTails.size()).toBe(1);
    streams[0]?.stop();
    streams[1]?.stop();
    await send(ann, room, 'still heard');
    await streams[2]?.next();
    connection.cut();
    await expect.poll(() => server.node.roomTails.size()).toBe(0);
  });

  test('a stopped server closes its sockets with 1012', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const connection = ann.connect();
    const stream = connection.subscribe(MESSAGE_ADDED, { room, after: await cursorOf(ann, room) });
    await send(ann, room, 'one');
    await stream.next();
    await server.stop();
    expect(await connection.closed).toBe(1012);
  });

  test('a stopped server sends the results of running operations first', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const connection = ann.connect();
    const id = keyOf('Chatroom', room) ?? '';
    const release = await holdTransaction(server, 'SELECT FROM chatrooms WHERE id = $1 FOR UPDATE', id);
    const sending = connection.ask(SEND, { input: { chatroomId: room, body: 'late' } });
    await expect.poll(() => server.node.gauges.operations).toBe(1);
    const stopping = server.stop();
    await release();
    expect(await sending).toMatchObject({ data: { sendMessage: { message: { body: 'late' } } } });
    expect(await connection.closed).toBe(1012);
    await stopping;
  });
});

describe('two nodes on one database', () => {
  test('deliver messages of a quiet room by polling without a bus', async () => {
    const [here, there] = await startTestNodes();
    const { ann, ben, room } = await world(here);
    const stream = ben
      .at(there.url)
      .connect()
      .subscribe(MESSAGE_ADDED, { room, after: await cursorOf(ben, room) });
    await expect.poll(() => there.node.roomTails.size()).toBe(1);
    await send(ann, room, 'alone');
    expect((await stream.next()).message.body).toBe('alone');
  });

  test.skipIf(!hasRedis())('with Redis (skipped without a redis-server) deliver each other’s messages', async () => {
    const redis = await startRedis();
    const [here, there] = await startTestNodes(redis.url);
    const { ann, ben, room } = await world(here);
    const stream = ben
      .at(there.url)
      .connect()
      .subscribe(MESSAGE_ADDED, { room, after: await cursorOf(ben, room) });
    for (let i = 1; i <= 50; i += 1) {
      await send(i % 2 ? ann : ben.at(there.url), room, `${i}`);
      expect((await stream.next()).message).toMatchObject({ number: i, body: `${i}` });
    }
  });

  test.skipIf(!hasRedis()).each(['SIGKILL', 'SIGSTOP'] as const)(
    'with Redis ended by %s (skipped without a redis-server) still deliver',
    async (signal) => {
      const redis = await startRedis();
      const [here, there] = await startTestNodes(redis.url);
      const { ann, ben, room } = await world(here);
      const stream = ben
        .at(there.url)
        .connect()
        .subscribe(MESSAGE_ADDED, { room, after: await cursorOf(ben, room) });
      await send(ann, room, 'before');
      await stream.next();
      redis.signal(signal);
      await send(ann, room, 'one');
      await send(ann, room, 'two');
      expect((await stream.take(2)).map((event) => event.message.body)).toEqual(['one', 'two']);
      // A client that subscribes while Redis is away is served as well.
      const late = ben
        .at(there.url)
        .connect()
        .subscribe(MESSAGE_ADDED, { room, after: await cursorOf(ben, room) });
      if (signal === 'SIGSTOP') redis.signal('SIGCONT');
      await send(ann, room, 'three');
      expect((await late.next()).message.body).toBe('three');
    },
  );
});

test('frames have the correct length at every boundary and in any script', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const frames: { id?: string; type: string; length: number; body: string | undefined }[] = [];
  socket.on('message', (data) => {
    const text = (data as Buffer).toString();
    const { id, type, payload } = JSON.parse(text) as { id?: string; type: string; payload?: any };
    frames.push({
      id: id ?? '',
      type,
      length: Buffer.byteLength(text),
      body: payload?.data?.messageAdded.message.body,
    });
  });
  const say = (message: object) => {
    socket.send(JSON.stringify(message));
  };
  await once(socket, 'open');
  say({ type: 'connection_init', payload: { authorization: `Bearer ${ann.accessToken}` } });
  await expect.poll(() => frames.length).toBe(1);

  // Selects the body four times to fill 64 KB, because a body has at most 10,000 characters.
  const query =
    'subscription ($room: ID!) { messageAdded(chatroomId: $room) { message { body b: body c: body d: body } } }';
  const around = Buffer.byteLength(
    '{"id":"","type":"next","payload":{"data":{"messageAdded":{"message":{"body":"","b":"","c":"","d":""}}}}}',
  );
  const long = '長い話 '.repeat(1_630);
  // The id pads the frame to the required length, by at most 256 characters.
  const idFor = (length: number, body: string) => 'é' + 'x'.repeat(length - around - 4 * Buffer.byteLength(body) - 2);
  const wanted = [
    ...[124, 125, 126, 127].map((length) => ({ length, body: '話' })),
    ...[65_534, 65_535, 65_536, 65_537].map((length) => ({ length, body: long })),
  ].map(({ length, body }) => ({ id: idFor(length, body), type: 'next', length, body }));
  for (const { id } of wanted) say({ id, type: 'subscribe', payload: { query, variables: { room } } });
  await expect.poll(() => server.node.gauges.streams).toBe(wanted.length);
  for (const body of ['話', long]) await send(ann, room, body);
  await expect.poll(() => frames.length).toBe(1 + 2 * wanted.length);
  for (const frame of wanted) expect(frames).toContainEqual(frame);
  socket.close();
  expect(await once(socket, 'close')).toMatchObject([1005, expect.anything()]);
});

test('pruned logs end outdated resumes with RESYNC_REQUIRED, but no current ones', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const old = await cursorOf(ann, room);
  for (const body of ['one', 'two', 'three']) await send(ben, room, body);
  const newest = await cursorOf(ann, room);
  const { query } = server.node.database;
  await query(sql`UPDATE events SET created_at = now() - interval '31 days'`);
  await pruneLog(server.node.database, 30);
  expect((await server.node.database.prisma.event.findMany({ where: { number: { not: null } } })).length).toBe(1);
  const stream = ann.connect().subscribe(MESSAGE_ADDED, { room, after: old });
  expect(codeOf(await stream.ended)).toBe('RESYNC_REQUIRED');
  expect(stream.received).toEqual([]);
  const all = ann.connect().subscribe('subscription ($after: String) { messageAdded(after: $after) { cursor } }', {
    after: (await ben.ask('{ viewer { cursor } }')).viewer.cursor,
  });
  const resumed = ann.connect().subscribe(MESSAGE_ADDED, { room, after: newest });
  await send(ben, room, 'four');
  expect((await resumed.next()).message.body).toBe('four');
  await all.next();
});

test('a stopping server finishes operations and closes sockets one by one', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const sockets = Array.from({ length: 4 }, () => ann.connect());
  for (const socket of sockets) await socket.ask('{ viewer { id } }');
  expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
  const stopping = server.stop(2_000);
  const closings = sockets.map(async (socket) => ({ code: await socket.closed, at: performance.now() }));
  await closings[0];
  expect((await fetch(`${server.url}/health/ready`)).status).toBe(503);
  await send(ann, room, 'still taken');
  const closed = await Promise.all(closings);
  expect(closed.map(({ code }) => code)).toEqual([1012, 1012, 1012, 1012]);
  expect((closed[3]?.at ?? 0) - (closed[0]?.at ?? 0)).toBeGreaterThan(1_000);
  await stopping;
});
