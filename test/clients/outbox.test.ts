import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { gql } from '@urql/core';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createPending, localStorageOutbox, type OutboxEntry, type OutboxStore } from '../../client/index.ts';
import type { Person } from '../support/client.ts';
import { ADD, createRoom, REMOVE } from '../support/rooms.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { bodies, chatOf } from './chatOf.ts';
import { MESSAGE_ADDED, SEND } from './documents.ts';
import { startRestarting } from './restarting.ts';
import { storedBodies } from './storedBodies.ts';

/** Creates a store in memory, which outlives its clients. */
function memoryStorage(): Storage {
  const items = new Map<string, string>();
  return {
    get length() {
      return items.size;
    },
    key: (index) => [...items.keys()][index] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
    clear: () => {
      items.clear();
    },
  };
}

/** Creates stores with common entries, as in several tabs. Each is informed of the changes by the others. */
function sharedStore(): () => OutboxStore {
  const storage = memoryStorage();
  const tabs = new Map<object, () => void>();
  return () => {
    const store = localStorageOutbox('outbox', storage);
    const notify = () => {
      for (const [tab, listener] of tabs) if (tab !== store) queueMicrotask(listener);
    };
    return {
      ...store,
      put(each) {
        void store.put(each);
        notify();
      },
      delete(each) {
        void store.delete(each);
        notify();
      },
      subscribe(listener) {
        tabs.set(store, listener);
        return () => tabs.delete(store);
      },
    };
  };
}

const entry = (body: string, state: OutboxEntry['state']) => expect.objectContaining({ body, state });

test('messages written offline arrive in order, with few requests meanwhile', async () => {
  const server = await startRestarting();
  const { ann, room } = await world(server);
  const warnings: unknown[] = [];
  const warn = (warning: Error) => warnings.push(warning.name);
  process.on('warning', warn);
  onTestFinished(() => void process.off('warning', warn));
  const times: number[] = [];
  const chat = chatOf(ann, {
    fetch(...args) {
      times.push(performance.now());
      return fetch(...args);
    },
  });
  const stream = chat.subscribe(MESSAGE_ADDED, { room });
  await expect.poll(() => chat.state).toBe('live');
  await server.stop();
  await expect.poll(() => chat.state).toBe('offline');
  const sending = bodies(30).map((body) => chat.send({ chatroomId: room, body }));
  await expect.poll(() => times.length).toBeGreaterThanOrEqual(5);
  const away = [...times];
  await server.start();
  expect((await Promise.all(sending)).map(({ body }) => body)).toEqual(bodies(30));
  expect(await storedBodies(ann, room)).toEqual(bodies(30));
  const perSecond = away.map((from) => away.filter((time) => time >= from && time < from + 1_000).length);
  expect(Math.max(...perSecond)).toBeLessThanOrEqual(3);
  expect(warnings).toEqual([]);
  await stream.return();
});

test('waiting messages, requests and streams add no listeners', async () => {
  const warnings: unknown[] = [];
  const warn = (warning: Error) => warnings.push(warning.name);
  process.on('warning', warn);
  onTestFinished(() => void process.off('warning', warn));
  const chat = chatOf({ url: 'http://127.0.0.1:9', accessToken: '' } as Person);
  const sending: Promise<unknown>[] = bodies(1_000).map((body) => chat.send({ chatroomId: 'room', body }));
  for (const room of bodies(20)) {
    sending.push(chat.execute('{ server { version } }', {}, { retry: true }));
    chat.subscribe(MESSAGE_ADDED, { room });
  }
  expect(chat.outbox.entries()).toHaveLength(1_000);
  chat.close();
  const results = await Promise.allSettled(sending);
  expect(new Set(results.map((result) => (result as PromiseRejectedResult).reason.code))).toEqual(new Set(['CLOSED']));
  expect(warnings).toEqual([]);
});

test('a rejected message fails and delays no other message', async () => {
  const server = await startTestServer();
  const { ann, eve, room } = await world(server);
  const { createChatroom } = await eve.ask(
    'mutation ($input: CreateChatroomInput!) { createChatroom(input: $input) { chatroom { id } } }',
    { input: { kind: 'GROUP', name: 'Other', memberIds: [] } },
  );
  const { outbox } = chatOf(ann);
  const results = await Promise.allSettled([
    outbox.send({ chatroomId: room, body: 'one' }),
    outbox.send({ chatroomId: room, body: 'x'.repeat(10_001), clientMessageId: 'long' }),
    outbox.send({ chatroomId: createChatroom.chatroom.id, body: 'not a member', clientMessageId: 'stranger' }),
    outbox.send({ chatroomId: room, body: 'two' }),
  ]);
  expect(results.map((result) => (result.status === 'fulfilled' ? result.value.number : result.reason.code))).toEqual([
    ...[1, 'BAD_USER_INPUT', 'NOT_FOUND', 2],
  ]);
  const failed = outbox.entries();
  expect(failed.map(({ clientMessageId, state, error }) => [clientMessageId, state, error?.code])).toEqual([
    ['long', 'failed', 'BAD_USER_INPUT'],
    ['stranger', 'failed', 'NOT_FOUND'],
  ]);
  expect(outbox.entries()).toBe(failed);
  outbox.discard('long');
  expect(outbox.entries(room)).toEqual([]);

  await eve.ask('mutation ($input: ChatroomMembersInput!) { addChatroomMembers(input: $input) { chatroom { id } } }', {
    input: { chatroomId: createChatroom.chatroom.id, userIds: [ann.id] },
  });
  outbox.retry('stranger');
  await expect.poll(() => outbox.entries()).toEqual([]);
  expect(await storedBodies(eve, createChatroom.chatroom.id)).toEqual(['not a member']);
});

test('a message whose sender was removed before the answer counts as sent', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  let lost = 0;
  const { outbox } = chatOf(ben, {
    async fetch(...args) {
      const response = await fetch(...args);
      if (lost > 0) return response;
      lost += 1;
      await ann.ask(REMOVE, { id: room, user: ben.id });
      throw new TypeError('The connection was reset.');
    },
  });
  const [sent, next] = await Promise.allSettled(
    ['seen', 'late'].map((body) => outbox.send({ chatroomId: room, body })),
  );
  expect(sent).toMatchObject({ status: 'fulfilled', value: { number: 1, body: 'seen' } });
  expect(next).toMatchObject({ status: 'rejected', reason: { code: 'NOT_FOUND' } });
  expect(outbox.entries()).toEqual([entry('late', 'failed')]);
  expect(await storedBodies(ann, room)).toEqual(['seen']);
});

test('the next client of the store sends waiting messages in order', async () => {
  const server = await startRestarting();
  const { ann, room } = await world(server);
  const storage = memoryStorage();
  const outboxStore = localStorageOutbox(`outbox ${ann.id}`, storage);
  await server.stop();
  const first = chatOf(ann, { outboxStore });
  const results = bodies(30).map((body) => first.send({ chatroomId: room, body }));
  await expect.poll(() => storage.length).toBe(30);
  first.close();
  for (const result of await Promise.allSettled(results)) expect(result.status).toBe('rejected');

  await server.start();
  const other = chatOf(ann, { outboxStore: localStorageOutbox('outbox of somebody else', storage) });
  const second = chatOf(ann, { outboxStore });
  const last = second.send({ chatroomId: room, body: '31' });
  expect(await last).toMatchObject({ number: 31 });
  expect(await storedBodies(ann, room)).toEqual(bodies(31));
  expect(other.outbox.entries()).toEqual([]);
  await expect.poll(() => storage.length).toBe(0);
});

test('damaged entries of the store block no message', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const storage = memoryStorage();
  const outboxStore = localStorageOutbox('outbox', storage);
  const base = { chatroomId: room, state: 'waiting', error: null } as const;
  storage.setItem('outbox/a/1', '{"chatroomId":');
  for (const createdAt of [undefined, '', '+275760-09-13T00:00:00.000Z'])
    await outboxStore.put({ ...base, clientMessageId: String(createdAt), body: 'damaged', createdAt } as any);
  for (const day of [2, 1])
    await outboxStore.put({
      ...base,
      clientMessageId: `${day}`,
      body: `${day}`,
      createdAt: `2026-01-0${day}T00:00:00Z`,
    });
  await chatOf(ann, { outboxStore }).send({ chatroomId: room, body: '3' });
  expect(await storedBodies(ann, room)).toEqual(bodies(3));
});

test('messages stay in order if the clock is set back', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const storage = memoryStorage();
  const open = (url: string) => chatOf({ ...ann, url }, { outboxStore: localStorageOutbox('outbox', storage) });
  const nowhere = 'http://127.0.0.1:9';
  const write = (chat: ReturnType<typeof open>, body: string) =>
    void chat.send({ chatroomId: room, body }).catch(() => undefined);
  const [first, second] = [open(nowhere), open(nowhere)];
  for (const body of bodies(2)) write(first, body);
  await expect.poll(() => storage.length).toBe(2);
  const now = Date.now.bind(Date);
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() - 3_600_000);
  onTestFinished(() => {
    clock.mockRestore();
  });
  // The second client wrote nothing before, and the third one writes while it loads the messages of the others.
  write(second, '3');
  await expect.poll(() => second.outbox.entries().length).toBe(3);
  for (const chat of [first, second]) chat.close();
  const third = open(nowhere);
  write(third, '4');
  await expect.poll(() => third.outbox.entries().length).toBe(4);
  third.close();
  clock.mockRestore();
  await open(ann.url).send({ chatroomId: room, body: '5' });
  expect(await storedBodies(ann, room)).toEqual(bodies(5));
});

test('a failure that another tab discards or retries disappears', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const storage = memoryStorage();
  const open = () => chatOf(ann, { outboxStore: localStorageOutbox('outbox', storage) });
  const [first, second] = [open(), open()];
  await first.send({ chatroomId: room, body: 'x'.repeat(10_001), clientMessageId: 'long' }).catch(() => undefined);
  await second.send({ chatroomId: room, body: '1' });
  expect(second.outbox.entries()).toMatchObject([{ clientMessageId: 'long', state: 'failed' }]);
  first.outbox.discard('long');
  await second.send({ chatroomId: room, body: '2' });
  expect(second.outbox.entries()).toEqual([]);
});

test('a message that another tab sends again is no longer failed', async () => {
  const server = await startTestServer();
  const { ann, ben } = await world(server);
  const chatroomId = await createRoom(ben, { kind: 'GROUP', name: 'Of ben', memberIds: [] });
  const open = sharedStore();
  const first = chatOf(ann, { outboxStore: open() });
  await first.send({ chatroomId, body: 'again', clientMessageId: 'again' }).catch(() => undefined);
  const second = chatOf(ann, { outboxStore: open() });
  await expect.poll(() => second.outbox.entries()).toEqual([entry('again', 'failed')]);
  await ben.ask(ADD, { id: chatroomId, users: [ann.id] });
  const states: string[][] = [];
  second.outbox.subscribe(() => states.push(second.outbox.entries().map(({ state }) => state)));
  first.outbox.retry('again');
  await expect.poll(() => second.outbox.entries()).toEqual([]);
  expect(states[0]).toEqual(['waiting']);
  expect(await storedBodies(ann, chatroomId)).toEqual(['again']);
});

test('a message that another tab sends stays pending until its event arrives', async () => {
  const server = await startRestarting();
  const { ann, room } = await world(server);
  const open = sharedStore();
  await server.stop();
  const first = chatOf(ann, { outboxStore: open() });
  const sending = first.send({ chatroomId: room, body: 'hello' });
  // The second client cannot send.
  const second = chatOf(ann, {
    outboxStore: open(),
    fetch: (input, init) =>
      (init?.body as string).includes('sendMessage') ? Promise.reject(new TypeError('Lost.')) : fetch(input, init),
  });
  await expect.poll(() => second.outbox.entries()).toHaveLength(1);
  const pending = createPending(second.outbox, room);
  const shown: number[] = [];
  onTestFinished(pending.subscribe(() => shown.push(pending.without([]).length)));
  await server.start();
  const { number } = await sending;
  await expect.poll(() => second.outbox.entries()).toEqual([]);
  expect(pending.without([]).map(({ message }) => message?.number)).toEqual([number]);
  expect(new Set(shown)).toEqual(new Set([1]));
  expect(await storedBodies(ann, room)).toEqual(['hello']);
});

test('a message that another tab discards is not sent', async () => {
  const server = await startRestarting();
  const { ann, room } = await world(server);
  const storage = memoryStorage();
  const open = () => chatOf(ann, { outboxStore: localStorageOutbox('outbox', storage) });
  await server.stop();
  const first = open();
  const regretted = expect(first.send({ chatroomId: room, body: 'regretted' })).rejects.toMatchObject({
    name: 'AbortError',
  });
  const sent = first.send({ chatroomId: room, body: 'sent' });
  await expect.poll(() => storage.length).toBe(2);
  const second = open();
  await expect.poll(() => second.outbox.entries()).toHaveLength(2);
  second.outbox.discard(second.outbox.entries()[0]!.clientMessageId);
  await expect.poll(() => storage.length).toBe(1);
  // Only the first client sends.
  second.close();
  await server.start();
  await Promise.all([regretted, sent]);
  expect(await storedBodies(ann, room)).toEqual(['sent']);
  expect(first.outbox.entries()).toEqual([]);
});

test('messages sent right before the client closes are all stored', () => {
  const storage = memoryStorage();
  const slow: string[] = [];
  const never = () => new Promise<never>(() => undefined);
  const stores: OutboxStore[] = [
    localStorageOutbox('outbox', storage),
    {
      ...{ name: 'slow', load: () => Promise.resolve([]), has: () => Promise.resolve(true), delete: never },
      put({ body }) {
        slow.push(body);
        return never();
      },
    },
  ];
  for (const outboxStore of stores) {
    const chat = chatOf({ url: 'http://127.0.0.1:9', accessToken: '' } as Person, { outboxStore });
    for (const body of bodies(3)) chat.send({ chatroomId: 'room', body }).catch(() => undefined);
    chat.close();
  }
  // Nothing is awaited: a page may end here.
  expect(storage.length).toBe(3);
  expect(slow).toEqual(bodies(3));
});

test('clients of one store send each message once and in order', async () => {
  const server = await startRestarting();
  const { ann, room } = await world(server);
  const storage = memoryStorage();
  const open = () => chatOf(ann, { outboxStore: localStorageOutbox('outbox', storage) });
  await server.stop();
  const first = open();
  const sending = bodies(20).map((body) => first.send({ chatroomId: room, body }));
  await expect.poll(() => storage.length).toBe(20);
  const clients = [first, open(), open()];
  await expect.poll(() => clients.map(({ outbox }) => outbox.entries().length)).toEqual([20, 20, 20]);
  await server.start();
  await Promise.all(sending);
  expect(await storedBodies(ann, room)).toEqual(bodies(20));
  await expect.poll(() => clients.map(({ outbox }) => outbox.entries())).toEqual([[], [], []]);
});

test('a failing store delays no message', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const full = (): never => {
    throw new DOMException('The quota has been exceeded.', 'QuotaExceededError');
  };
  const hanging = () => new Promise<never>(() => undefined);
  const stores: OutboxStore[] = [
    { name: 'full', load: full, has: full, put: full, delete: full },
    { name: 'hanging', load: hanging, has: hanging, put: hanging, delete: hanging },
  ];
  for (const outboxStore of stores) {
    const chat = chatOf(ann, { outboxStore });
    await Promise.all(bodies(3).map((body) => chat.send({ chatroomId: room, body: `${outboxStore.name} ${body}` })));
  }
  expect(await storedBodies(ann, room)).toEqual(
    stores.flatMap(({ name }) => bodies(3).map((body) => `${name} ${body}`)),
  );
});

test('a store that hangs for a time gets the missed changes', async () => {
  const memory = localStorageOutbox('outbox', memoryStorage());
  let hangs = false;
  const access = <Value>(work: () => Value) => (hangs ? new Promise<never>(() => undefined) : Promise.resolve(work()));
  const outboxStore: OutboxStore = {
    name: 'sometimes hanging',
    load: () => access(() => memory.load() as OutboxEntry[]),
    has: (each) => access(() => memory.has(each) as boolean),
    put: (each) => access(() => memory.put(each)),
    delete: (each) => access(() => memory.delete(each)),
  };
  const stored = async () => (await memory.load()).map(({ body }) => body).toSorted();
  const errors: unknown[] = [];
  const onOutboxStoreError = (error: unknown) => errors.push(error);
  const chat = chatOf({ url: 'http://127.0.0.1:9', accessToken: '' } as Person, { outboxStore, onOutboxStoreError });
  const send = (body: string) =>
    void chat.send({ chatroomId: 'room', body, clientMessageId: body }).catch(() => undefined);
  send('discarded');
  await expect.poll(stored).toEqual(['discarded']);
  hangs = true;
  chat.outbox.discard('discarded');
  await expect.poll(() => errors, { timeout: 10_000 }).toMatchObject([{ name: 'TimeoutError' }]);
  hangs = false;
  send('in the pause');
  expect(await stored()).toEqual(['discarded']);
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 30_000);
  onTestFinished(() => {
    clock.mockRestore();
  });
  send('after');
  await expect.poll(stored).toEqual(['after', 'in the pause']);
  expect(chat.outbox.entries().map(({ body }) => body)).toEqual(['in the pause', 'after']);
  expect(errors).toHaveLength(1);
  chat.close();
});

test('sendMessage of any document waits for the earlier messages of its room', async () => {
  const server = await startRestarting();
  const { ann, room } = await world(server);
  const chat = chatOf(ann);
  await server.stop();
  const named = (body: string) => ({ chatroomId: room, body, clientMessageId: `id ${body}` });
  const sending = [
    chat.send(named('1')),
    chat.execute(SEND, { input: named('2') }),
    chat.execute(
      gql`
        mutation ($room: ID!, $id: String = "id 3") {
          mine: sendMessage(input: { chatroomId: $room, body: "3", clientMessageId: $id }) {
            message {
              number
            }
          }
        }
      `,
      { room },
    ),
    chat.execute(
      gql`
        fragment Two on Mutation {
          four: sendMessage(input: $four) {
            message {
              number
            }
          }
          five: sendMessage(input: $five) {
            message {
              number
            }
          }
        }
        mutation ($four: SendMessageInput!, $five: SendMessageInput!) {
          ...Two
        }
      `,
      { four: named('4'), five: named('5') },
    ),
    chat.send(named('6')),
  ];
  await expect(chatOf(ann).execute(SEND, { input: { chatroomId: room, body: 'nameless' } })).rejects.toMatchObject({
    code: 'UNREACHABLE',
  });
  await server.start();
  await Promise.all(sending);
  expect(await storedBodies(ann, room)).toEqual(bodies(6));
});

test('a message that the server cannot store fails alone', async () => {
  const answers = createServer((incoming, outgoing) => {
    let text = '';
    incoming.on('data', (chunk: Buffer) => (text += chunk.toString()));
    incoming.on('end', () => {
      const { chatroomId, body } = JSON.parse(text).variables.input;
      const crash = { message: 'It failed.', extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: '1' } };
      outgoing.setHeader('content-type', 'application/json');
      outgoing.end(
        JSON.stringify(
          chatroomId === 'broken' && body === '1'
            ? { data: null, errors: [crash] }
            : { data: { sendMessage: { message: { body } } } },
        ),
      );
    });
  });
  answers.listen(0, '127.0.0.1');
  await once(answers, 'listening');
  onTestFinished(() => void answers.close());
  const { port } = answers.address() as AddressInfo;
  const chat = chatOf({ url: `http://127.0.0.1:${port}`, accessToken: '' } as Person);
  const broken = Promise.allSettled(bodies(2).map((body) => chat.send({ chatroomId: 'broken', body })));
  await Promise.all(bodies(3).map((body) => chat.send({ chatroomId: 'sound', body })));
  expect(chat.outbox.entries('broken')).toEqual([expect.anything(), entry('2', 'waiting')]);
  const [first, second] = await broken;
  expect(first).toMatchObject({ status: 'rejected', reason: { code: 'INTERNAL_SERVER_ERROR', requestId: '1' } });
  expect(second).toMatchObject({ status: 'fulfilled' });
  chat.close();
});

test('a message waits while the server is temporarily unavailable', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const outage = {
    message: 'The server is temporarily unavailable. Try again in a moment.',
    extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: '1', retryAfterMs: 1_000 },
  };
  let requests = 0;
  const chat = chatOf({ url: 'http://127.0.0.1:9', accessToken: '' } as Person, {
    fetch() {
      requests += 1;
      return Promise.resolve(
        Response.json(
          requests <= 10
            ? { data: { sendMessage: null }, errors: [outage] }
            : { data: { sendMessage: { message: { body: 'hello' } } } },
        ),
      );
    },
  });
  let sent: unknown;
  void chat.send({ chatroomId: 'room', body: 'hello' }).then((message) => (sent = message));
  // Nodes that other tests have started in this process may set timers for ever, so not all timers can run.
  while (sent === undefined) await vi.advanceTimersToNextTimerAsync();
  expect([sent, requests]).toEqual([{ body: 'hello' }, 11]);
});

test('a message waits while the access token cannot be read', async () => {
  const { ann, room } = await world(await startTestServer());
  let isDown = true;
  let reads = 0;
  const chat = chatOf(ann, {
    getAccessToken() {
      reads += 1;
      return isDown ? Promise.reject(new TypeError('The network was lost.')) : Promise.resolve(ann.accessToken);
    },
  });
  const sending = chat.send({ chatroomId: room, body: 'hello' });
  await expect.poll(() => reads).toBe(1);
  await expect(chat.execute('{ viewer { id } }', {})).rejects.toMatchObject({ code: 'UNREACHABLE' });
  isDown = false;
  expect(await sending).toMatchObject({ body: 'hello' });
});

test('pending messages stay until the history contains them', async () => {
  const { ann, room } = await world(await startTestServer());
  const chat = chatOf(ann);
  const pending = createPending(chat.outbox, room);
  const shown: string[][] = [];
  const unsubscribe = pending.subscribe(() => shown.push(pending.without([]).map(({ body }) => body)));
  const one = await chat.send({ chatroomId: room, body: 'one' });
  const two = await chat.send({ chatroomId: room, body: 'two' });
  expect(chat.outbox.entries(room)).toEqual([]);
  expect(shown.every((texts) => texts.includes('one'))).toBe(true);
  expect(pending.entries()).toBe(pending.entries());
  expect(pending.without([]).map(({ message }) => message?.number)).toEqual([one.number, two.number]);
  // An optimistic message has the largest number, but other messages may still arrive before it.
  const optimistic = { number: Number.MAX_SAFE_INTEGER, clientMessageId: 'optimistic' };
  expect(pending.without([one, optimistic]).map(({ body }) => body)).toEqual(['two']);
  // The history contains a later message but not this one, for example because the message is hidden.
  expect(pending.without([{ number: two.number + 1 }])).toEqual([]);
  unsubscribe();
  await chat.send({ chatroomId: room, body: 'closed' });
  expect(pending.without([])).toEqual([]);
});

test('functions of the client and its outbox can be passed on', async () => {
  const { ann, room } = await world(await startTestServer());
  const { close, execute, onState, outbox, send } = chatOf(ann);
  const { discard, entries, retry, send: sendLater, subscribe } = outbox;
  let changes = 0;
  onState(() => undefined)();
  const unsubscribe = subscribe(() => (changes += 1));
  await send({ chatroomId: room, body: 'one' });
  await expect(sendLater({ chatroomId: room, body: '' })).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
  const [entry] = entries(room);
  retry(entry!.clientMessageId);
  discard(entry!.clientMessageId);
  unsubscribe();
  expect(entries()).toEqual([]);
  expect(changes).toBeGreaterThan(0);
  expect(await execute('{ viewer { id } }', {})).toHaveProperty('viewer.id');
  close();
});
