import { describe, expect, onTestFinished, test } from 'vitest';
import { type ChatState, errorOf, type StateListener } from '../../client/index.ts';
import { type Proxy, startProxy } from '../faults/proxy.ts';
import { request } from '../support/client.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { CREATE_CHATROOM, send, world } from '../support/world.ts';
import { bodies, chatOf, sendAll } from './chatOf.ts';
import { ANYWHERE, CURSOR, EVENTS, MESSAGE_ADDED, VIEWER_EVENTS } from './documents.ts';
import { expiring, REFRESH } from './expiring.ts';
import { startLossyProxy } from './losing.ts';
import { startRestarting } from './restarting.ts';

const SIGN_OUT = 'mutation { signOut { ok } }';
const REMOVE = `mutation ($input: RemoveChatroomMemberInput!) {
  removeChatroomMember(input: $input) { chatroom { id } }
}`;

/** Records all states of a client, with the code of the reason. */
function states(): { seen: [ChatState, string | null][]; onState: StateListener } {
  const seen: [ChatState, string | null][] = [];
  return { seen, onState: (state, reason) => seen.push([state, reason?.code ?? null]) };
}

/** Starts a server behind a proxy that fails on command. */
async function startBehindProxy(
  env: Record<string, string> = {},
): Promise<{ server: TestServer; proxy: Proxy; url: string }> {
  const server = await startTestServer({ env });
  const proxy = await startProxy(Number(new URL(server.url).port));
  onTestFinished(() => {
    proxy.close();
  });
  return { server, proxy, url: `http://127.0.0.1:${proxy.port}` };
}

describe('a stream of the chat client', { timeout: 150_000 }, () => {
  test('resumes after a server restart, with each message once and in order', async () => {
    const server = await startRestarting();
    const { ann, ben, room } = await world(server);
    const chat = chatOf(ben);
    const { chatroom } = await chat.execute(CURSOR, { room });
    const stream = chat.subscribe(MESSAGE_ADDED, { room, after: chatroom.cursor });
    const sender = chatOf(ann);
    const sending = sendAll(sender, room, 20);
    const received: string[] = [];
    let restarted: Promise<void> | undefined;
    async function restart(): Promise<void> {
      await server.stop();
      const rest = sending.then(() => sendAll(sender, room, 40, 21));
      await expect.poll(() => chat.state, { timeout: 30_000 }).toBe('offline');
      await server.start();
      await rest;
    }
    for await (const { messageAdded } of stream) {
      received.push(messageAdded.message.body);
      if (received.length === 10) restarted = restart();
      if (received.length === 40) break;
    }
    await restarted;
    expect(received).toEqual(bodies(40));
    await expect.poll(() => chat.state).toBe('idle');
  });

  test('of all rooms drops repeats after each cut and includes joined rooms', async () => {
    const { server, proxy, url } = await startBehindProxy();
    const { ann, ben, room } = await world(server);
    const stream = chatOf(ben.at(url)).subscribe(ANYWHERE, {});
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, {
      input: { kind: 'GROUP', name: 'Other', memberIds: [ben.id] },
    });
    const rooms = [room, createChatroom.chatroom.id];
    const received: any[] = [];
    for (let i = 1; i <= 30; i += 1) {
      for (const each of rooms) await send(ann, each, String(i));
      if (i % 7 === 0) proxy.reset();
    }
    for await (const { messageAdded } of stream) {
      if (messageAdded.message.body !== null) received.push(messageAdded.message);
      if (received.length === 60) break;
    }
    for (const each of rooms)
      expect(received.filter(({ chatroom }) => chatroom.id === each).map(({ body }) => body)).toEqual(bodies(30));
  });

  test('reports the states offline, catching-up and live', async () => {
    const { server, proxy, url } = await startBehindProxy();
    const { ann, ben, room } = await world(server);
    const { seen, onState } = states();
    const chat = chatOf(ben.at(url), { onState });
    const stream = chat.subscribe(EVENTS, { room });
    const types: string[] = [];
    const next = async () => types.push((await stream.next()).value.chatroomEvents.__typename);
    await next();
    expect(chat.state).toBe('live');
    proxy.blackhole();
    proxy.reset();
    for (const body of ['one', 'two']) await send(ann, room, body);
    await expect.poll(() => chat.state, { timeout: 30_000 }).toBe('offline');
    proxy.resume();
    for (let i = 0; i < 3; i += 1) await next();
    await send(ann, room, 'three');
    await next();
    expect(types).toEqual(['CaughtUp', 'MessageAdded', 'MessageAdded', 'CaughtUp', 'MessageAdded']);
    expect(seen.map(([state]) => state)).toEqual([
      ...['connecting', 'catching-up', 'live', 'connecting', 'offline', 'catching-up', 'live'],
    ]);
    expect(seen.find(([state]) => state === 'offline')?.[1]).toBe('UNREACHABLE');
  });

  test('detects a connection whose other end is gone', async () => {
    const { server, proxy, url } = await startBehindProxy();
    const { ann, ben, room } = await world(server);
    const chat = chatOf(ben.at(url));
    const stream = chat.subscribe(MESSAGE_ADDED, { room });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    proxy.pause();
    await send(ann, room, 'one');
    await expect.poll(() => chat.state, { timeout: 40_000 }).not.toBe('live');
    proxy.resume();
    expect((await stream.next()).value.messageAdded.message.body).toBe('one');
  });

  test('that is not read buffers 1,000 events and fetches the rest later', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const stream = chatOf(ann).subscribe(MESSAGE_ADDED, { room });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    const insert = `SELECT store_message(jsonb_build_object('chatroomId', c.id, 'userId', u.id, 'body', i))
      FROM chatrooms c, users u, generate_series(1, 1200) i WHERE u.username = 'ann' ORDER BY i`;
    await server.node.database.query({ text: insert, values: [] } as never);
    await expect.poll(() => server.node.gauges.streams, { timeout: 90_000 }).toBe(0);
    const received: string[] = [];
    for await (const { messageAdded } of stream) {
      received.push(messageAdded.message.body);
      if (received.length === 1200) break;
    }
    expect(received).toEqual(bodies(1200));
  });

  test('calls onResync if its cursor is refused; without it, fails with RESYNC_REQUIRED', async () => {
    const [server, other] = await Promise.all([startTestServer(), startTestServer()]);
    const [{ ann, room }, elsewhere] = [await world(server), await world(other)];
    const { chatroom } = await elsewhere.ann.ask(CURSOR, { room: elsewhere.room });
    const after = forge(chatroom.cursor, (await ann.ask(CURSOR, { room })).chatroom.cursor);
    const chat = chatOf(ann);
    await expect(chat.subscribe(MESSAGE_ADDED, { room, after }).next()).rejects.toMatchObject({
      code: 'RESYNC_REQUIRED',
    });
    const stream = chat.subscribe(
      MESSAGE_ADDED,
      { room, after },
      { onResync: async () => (await chat.execute(CURSOR, { room })).chatroom.cursor },
    );
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await send(ann, room, 'one');
    expect((await stream.next()).value.messageAdded.message.body).toBe('one');
  });

  test('ends with NOT_FOUND when the viewer loses the room', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const stream = chatOf(ben).subscribe(EVENTS, { room });
    expect((await stream.next()).value.chatroomEvents.__typename).toBe('CaughtUp');
    const ended = expect(stream.next()).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await ann.ask(REMOVE, { input: { chatroomId: room, userId: ben.id } });
    await ended;
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  });

  test('of hints resumes after a cut and calls onResumed', async () => {
    const { server, proxy, url } = await startBehindProxy();
    const { ann, ben, room } = await world(server);
    let resumed = false;
    const onResumed = () => {
      resumed = true;
    };
    const stream = chatOf(ben.at(url)).subscribe(
      'subscription ($room: ID!) { typingChanged(chatroomId: $room) { typing user { username } } }',
      { room },
      { onResumed },
    );
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    proxy.reset();
    await expect.poll(() => resumed).toBe(true);
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await ann.ask('mutation ($input: SetTypingInput!) { setTyping(input: $input) { ok } }', {
      input: { chatroomId: room, typing: true },
    });
    expect((await stream.next()).value.typingChanged).toEqual({ typing: true, user: { username: 'ann' } });
  });

  test('of viewerEvents delivers rooms that appeared or vanished during a cut', async () => {
    const { server, proxy, url } = await startBehindProxy();
    const { ann, ben, room } = await world(server);
    const make = async () =>
      (await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [ben.id] } })).createChatroom.chatroom.id;
    const { viewer } = await ben.ask('{ viewer { cursor } }');
    const rooms = [await make()];
    const stream = chatOf(ben.at(url)).subscribe(VIEWER_EVENTS, { after: viewer.cursor });
    const list = new Set([room]);
    const apply = async () => {
      const { viewerEvents: event } = (await stream.next()).value;
      if (event.__typename === 'ChatroomAppeared') list.add(event.chatroom.id);
      if (event.__typename === 'ChatroomVanished') list.delete(event.chatroomId);
    };
    while (list.size < 2) await apply();
    proxy.aim(1);
    proxy.reset();
    rooms.push(await make());
    await ann.ask(REMOVE, { input: { chatroomId: room, userId: ben.id } });
    proxy.aim(Number(new URL(server.url).port));
    while (list.size !== 2 || list.has(room)) await apply();
    expect([...list]).toEqual(rooms);
  });

  test('that could not resume is refused; the error says why', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const chat = chatOf(ann);
    const refusal = async (query: string) => {
      // The previous refused stream may still be open.
      await expect.poll(() => server.node.gauges.streams).toBe(0);
      const stream = chat.subscribe(query, { room });
      const next = stream.next().then(
        () => 'accepted',
        (error: unknown) => (error as Error).message,
      );
      await Promise.race([next, expect.poll(() => server.node.gauges.streams).toBe(1)]);
      await send(ann, room, 'one');
      return next;
    };
    expect(await refusal('subscription ($room: ID!) { messageAdded(chatroomId: $room) { cursor } }')).toMatch(
      /Declare \$after/,
    );
    const declared = 'subscription ($room: ID!, $after: String)';
    expect(await refusal(`${declared} { messageAdded(chatroomId: $room, after: $after) { message { id } } }`)).toMatch(
      /Select messageAdded \{ cursor \}/,
    );
    expect(await refusal(`${declared} { chatroomEvents(chatroomId: $room, after: $after) { cursor } }`)).toMatch(
      /__typename/,
    );
    expect(await refusal('subscription ($after: String) { messageAdded(after: $after) { cursor } }')).toMatch(
      /chatroom \{ id \}/,
    );
  });
});

describe('the session of the chat client', () => {
  test('refreshes an expired token once for all operations, without losing messages', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    let { refreshToken } = ben;
    let accessToken = await expiring(ben, 3);
    let refreshed = 0;
    const chat = chatOf(ben, {
      getAccessToken: () => accessToken,
      async refresh() {
        refreshed += 1;
        const { refreshSession } = await chat.execute(REFRESH, { input: { refreshToken } });
        ({ accessToken, refreshToken } = refreshSession);
        return accessToken;
      },
    });
    const stream = chat.subscribe(MESSAGE_ADDED, { room });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await expect.poll(() => refreshed).toBe(1);
    await send(ann, room, 'one');
    expect((await stream.next()).value.messageAdded.message.body).toBe('one');

    accessToken = await expiring(ben, -5);
    const names = await Promise.all(
      Array.from({ length: 5 }, () => chat.execute('{ viewer { user { username } } }', {})),
    );
    expect(names.map(({ viewer }) => viewer.user.username)).toEqual(Array.from({ length: 5 }, () => 'ben'));
    expect(refreshed).toBe(2);
  });

  test.for(['reset', 'silence'] as const)(
    'survives a lost response to refreshSession (%s)',
    { timeout: 60_000 },
    async (fate) => {
      const server = await startTestServer();
      const { ann, ben, room } = await world(server);
      const network = await startLossyProxy(server.url, /refreshSession/, fate);
      const { seen, onState } = states();
      let { refreshToken } = ben;
      let accessToken = await expiring(ben, 2);
      const chat = chatOf(ben.at(network.url), {
        getAccessToken: () => accessToken,
        onState,
        async refresh() {
          const { refreshSession } = await chat.execute(REFRESH, { input: { refreshToken } });
          ({ accessToken, refreshToken } = refreshSession);
          return accessToken;
        },
      });
      const stream = chat.subscribe(MESSAGE_ADDED, { room });
      await expect.poll(() => server.node.gauges.streams).toBe(1);
      await expect.poll(() => network.lost(), { timeout: 30_000 }).toBe(1);
      await send(ann, room, 'one');
      expect((await stream.next()).value.messageAdded.message.body).toBe('one');
      expect(seen.map(([state]) => state)).not.toContain('signed-out');
      expect((await ben.on({ accessToken, refreshToken }).ask('{ viewer { user { username } } }')).viewer.user).toEqual(
        {
          username: 'ben',
        },
      );
      const rest = await request(server.url, REFRESH, { input: { refreshToken } });
      expect(rest.errors).toBeUndefined();
    },
  );

  test('ends the stream when the session ends, with the state signed-out', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const { seen, onState } = states();
    const chat = chatOf(ann, { onState });
    const stream = chat.subscribe(MESSAGE_ADDED, { room });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await ann.ask(SIGN_OUT);
    await expect(stream.next()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(chat.state).toBe('signed-out');
    expect(seen.at(-1)).toEqual(['signed-out', 'UNAUTHENTICATED']);
  });

  test('is signed out if refresh returns null', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const accessToken = await expiring(ann, -5);
    const chat = chatOf(ann, { getAccessToken: () => accessToken, refresh: () => Promise.resolve(null) });
    await expect(chat.subscribe(MESSAGE_ADDED, { room }).next()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    await expect(chat.execute('{ viewer { id } }', {})).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' });
    expect(chat.state).toBe('signed-out');
  });

  test('refuses a stream without a token, and accepts it after signing in', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    let accessToken: string | null = null;
    const chat = chatOf(ann, { getAccessToken: () => accessToken });
    await expect(chat.subscribe(MESSAGE_ADDED, { room }).next()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    ({ accessToken } = ann);
    const stream = chat.subscribe(MESSAGE_ADDED, { room });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await chat.send({ chatroomId: room, body: 'one' });
    expect((await stream.next()).value.messageAdded.message.body).toBe('one');
  });

  test('retries one socket too many, and the state has the reason', async () => {
    const server = await startTestServer({ env: { MAX_SOCKETS_PER_USER: '1' } });
    const { ann, room } = await world(server);
    const first = chatOf(ann);
    first.subscribe(MESSAGE_ADDED, { room });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    const { seen, onState } = states();
    const second = chatOf(ann, { onState });
    const stream = second.subscribe(MESSAGE_ADDED, { room });
    await expect.poll(() => seen.at(-1)).toEqual(['offline', 'TOO_MANY_SOCKETS']);
    first.close();
    await expect.poll(() => second.state).toBe('live');
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await send(ann, room, 'one');
    expect((await stream.next()).value.messageAdded.message.body).toBe('one');
  });
});

describe('send', () => {
  test('stores a message once despite lost responses and an unreachable server', async () => {
    const { server, proxy, url } = await startBehindProxy();
    const { ann, room } = await world(server);
    const chat = chatOf(ann.at(url));
    // The request reaches the server, but the response is lost.
    let lost = 0;
    const lossy = chatOf(ann.at(url), {
      async fetch(...args) {
        const response = await fetch(...args);
        if ((lost += 1) > 3) return response;
        throw new TypeError('The connection was reset.');
      },
    });
    const stored = await lossy.send({ chatroomId: room, body: 'one' });
    expect(stored).toMatchObject({ number: 1, body: 'one' });
    expect(lost).toBe(4);

    proxy.blackhole();
    proxy.reset();
    const sending = chat.send({ chatroomId: room, body: 'two', clientMessageId: 'mine' });
    proxy.reset();
    proxy.resume();
    expect(await sending).toMatchObject({ number: 2, clientMessageId: 'mine' });
    const { data } = await request(
      server.url,
      'query ($room: ID!) { chatroom(id: $room) { messages(first: 10) { nodes { body } } } }',
      { room },
      { authorization: `Bearer ${ann.accessToken}` },
    );
    expect(data.chatroom.messages.nodes.map(({ body }: any) => body)).toEqual(['one', 'two']);
  });

  test('stops when aborted, when the client closes, or when refused', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    await expect(chatOf(eve).send({ chatroomId: room, body: 'x' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const unreachable = chatOf(ann, { url: 'http://127.0.0.1:9/graphql' });
    const giveUp = new AbortController();
    const first = unreachable.send({ chatroomId: room, body: 'x' }, { signal: giveUp.signal });
    giveUp.abort(new Error('Never mind.'));
    await expect(first).rejects.toThrow('Never mind.');
    const second = unreachable.send({ chatroomId: room, body: 'x' });
    unreachable.close();
    await expect(second).rejects.toMatchObject({ code: 'CLOSED' });
    const refused: unknown = await chatOf(ann, { url: 'http://127.0.0.1:9/graphql' })
      .execute('{ viewer { id } }', {})
      .catch((error: unknown) => error);
    expect(errorOf(refused)).toEqual({ code: 'UNREACHABLE', message: expect.stringContaining('cannot be reached') });
  });
});

/** Returns the cursor `own` with the database id of the cursor `foreign`. */
function forge(foreign: string, own: string): string {
  const parts = (cursor: string) => Buffer.from(cursor, 'base64url').toString().split(' ');
  const forged = parts(own);
  forged[1] = parts(foreign)[1] ?? '';
  return Buffer.from(forged.join(' ')).toString('base64url');
}
