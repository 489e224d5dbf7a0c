import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import WebSocket from 'ws';
import { createPending } from '../client/index.ts';
import { chatOf } from './clients/chatOf.ts';
import { expiring } from './clients/expiring.ts';
import { startRestarting } from './clients/restarting.ts';
import { PASSWORD, type Person } from './support/client.ts';
import { startTestServer, WIDE_LIMITS } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

// Files of docs/apollo.md and docs/urql.md. They are typed for a browser, so these imports are untyped.
const load = (name: string): Promise<any> => import(`../examples/app/src/${name}.ts`);
const { resumeSession, signIn, signOut } = await load('session');
const { createReadMarker } = await load('view');
const { createRoomList } = await load('roomList');
const [apollo, urql, live] = await Promise.all([load('apollo'), load('urql'), load('live')]);

/** Provides browser APIs that Node 20 lacks. */
beforeEach(() => {
  const items = new Map<string, string>();
  const storage = {
    get length() {
      return items.size;
    },
    key: (index: number) => [...items.keys()][index] ?? null,
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  };
  const before = { WebSocket: globalThis.WebSocket, localStorage: globalThis.localStorage };
  Object.assign(globalThis, { WebSocket, localStorage: storage });
  return () => Object.assign(globalThis, before);
});

interface App {
  send(body: string): Promise<void>;
  /** Lists that the room has displayed; each line is `number body`. */
  shown: string[][];
  /** Messages of the room that were last displayed. */
  history: () => any[];
  /** Calls the listener after each change of the messages. */
  onHistory: (listener: () => void) => void;
  /** Titles of the rooms. */
  rooms: () => string[];
  loadMore(): Promise<unknown>;
  loadOlder(): Promise<void>;
}

interface Adapter {
  name: string;
  open(session: any, url: string, room: string): Promise<App>;
}

const lineOf = ({ number, body }: { number: number; body: string }) => `${number > 1e15 ? '?' : number} ${body}`;

/** Records the lists that a room displays. */
function createList() {
  const shown: string[][] = [];
  const listeners: (() => void)[] = [];
  let history: any[] = [];
  return {
    shown,
    history: () => history,
    onHistory: (listener: () => void) => void listeners.push(listener),
    show: (messages: any[]) => {
      history = messages;
      shown.push(messages.map(lineOf));
      for (const listener of listeners) listener();
    },
  };
}

const adapters: Adapter[] = [
  {
    name: 'Apollo Client',
    async open(session, _, room) {
      const client = apollo.createApolloClient(session);
      let titles: string[] = [];
      const followed = await apollo.followRooms(client, (rooms: any[]) => (titles = rooms.map(({ title }) => title)));
      const list = createList();
      const { close, loadOlder } = await apollo.openRoom(client, room, list.show);
      onTestFinished(() => {
        close();
        followed.close();
        client.stop();
      });
      return {
        ...list,
        rooms: () => titles,
        loadMore: followed.loadMore,
        loadOlder,
        send: (body) => apollo.sendMessage(client, session, room, body),
      };
    },
  },
  {
    name: 'urql',
    async open(session, url, room) {
      const client = urql.createUrqlClient(url, session);
      let titles: string[] = [];
      const followed = await urql.followRooms(client, (rooms: any[]) => (titles = rooms.map(({ title }) => title)));
      const list = createList();
      const { close, loadOlder } = await urql.openRoom(client, room, list.show);
      onTestFinished(() => {
        close();
        followed.close();
      });
      return {
        ...list,
        rooms: () => titles,
        loadMore: followed.loadMore,
        loadOlder,
        send: (body) => urql.sendMessage(client, room, body),
      };
    },
  },
];

/** Signs in with the application's own functions and opens a room. */
async function start(adapter: Adapter, person: Person, room: string) {
  const url = `${person.url}/graphql`;
  const session = await signIn(url, person.username, PASSWORD);
  onTestFinished(() => session.chat.close());
  const app = await adapter.open(session, url, room);
  await expect.poll(() => app.shown.length).toBeGreaterThan(0);
  return { session, url, app };
}

describe.each(adapters)('the application of examples/app with $name', (adapter) => {
  test('shows the history, older pages and other people’s messages', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    for (let i = 1; i <= 55; i += 1) await send(ann, room, 'old');
    const { app } = await start(adapter, ben, room);
    await expect.poll(() => app.shown.at(-1)).toHaveLength(50);
    await app.loadOlder();
    await expect.poll(() => app.shown.at(-1)).toHaveLength(55);
    await send(ann, room, 'new');
    await expect.poll(() => app.shown.at(-1)?.at(-1)).toBe('56 new');
    expect(app.shown.at(-1)).toHaveLength(56);
  });

  test('shows rooms that appear, and drops those that vanish', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { app } = await start(adapter, ben, room);
    await expect.poll(app.rooms).toEqual(['A room']);
    const input = { kind: 'GROUP', name: 'Another', memberIds: [ben.id] };
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input });
    await expect.poll(app.rooms).toEqual(['Another', 'A room']);
    await send(ann, room, 'hello');
    await expect.poll(app.rooms).toEqual(['A room', 'Another']);
    await ben.ask('mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }', {
      id: createChatroom.chatroom.id,
    });
    await expect.poll(app.rooms).toEqual(['A room']);
  });

  test('keeps the loaded pages of rooms, and shows a room beyond them', async () => {
    const server = await startTestServer({ env: WIDE_LIMITS });
    const { ann, ben, room } = await world(server);
    const names = Array.from({ length: 70 }, (_, i) => `Room ${i + 1}`);
    const ids: string[] = [];
    for (const name of names) {
      const input = { kind: 'GROUP', name, memberIds: [ben.id] };
      ids.push((await ann.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id);
    }
    const newestFirst = [...names.toReversed(), 'A room'];
    const { app } = await start(adapter, ben, room);
    await expect.poll(app.rooms).toEqual(newestFirst.slice(0, 30));
    await app.loadMore();
    await expect.poll(app.rooms).toEqual(newestFirst.slice(0, 60));
    await send(ann, ids[0]!, 'to a room that is not loaded');
    const moved = ['Room 1', ...newestFirst.filter((name) => name !== 'Room 1')];
    await expect.poll(app.rooms).toEqual(moved.slice(0, 60));
    await app.loadMore();
    await expect.poll(app.rooms).toEqual(moved);
  });

  test('shows each own message immediately and once, across a restart', async () => {
    const server = await startRestarting();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'before');
    const { app } = await start(adapter, ben, room);
    await expect.poll(() => app.shown.at(-1)).toEqual(['1 before']);
    await server.stop();
    const sending = ['one', 'two', 'three'].map((body) => app.send(body));
    await expect.poll(() => app.shown.at(-1)).toEqual(['1 before', '? one', '? two', '? three']);
    await server.start();
    await Promise.all(sending);
    await send(ann, room, 'after');
    const end = ['1 before', '2 one', '3 two', '4 three', '5 after'];
    await expect.poll(() => app.shown.at(-1)).toEqual(end);
    for (const list of app.shown) {
      const texts = list.map((line) => line.replace(/^\S+ /, ''));
      expect(new Set(texts).size).toBe(texts.length);
    }
  });

  test('sends messages written offline once, even after a reload', async () => {
    const server = await startRestarting();
    const { ben, room } = await world(server);
    const { session, url, app } = await start(adapter, ben, room);
    await expect.poll(() => session.chat.state).toBe('live');
    await server.stop();
    const pending = (chat: any) => chat.outbox.entries(room).map(({ body }: { body: string }) => body);
    for (const body of ['one', 'two']) session.chat.send({ chatroomId: room, body }).catch(() => undefined);
    expect(pending(session.chat)).toEqual(['one', 'two']);
    const stored = () => Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i));
    await expect.poll(() => stored().filter((key) => key?.includes('outbox'))).toHaveLength(2);
    session.chat.close();
    const resumed = resumeSession(url);
    onTestFinished(() => resumed.chat.close());
    await expect.poll(() => pending(resumed.chat)).toEqual(['one', 'two']);
    await server.start();
    const again = await adapter.open(resumed, url, room);
    await expect.poll(() => again.shown.at(-1)).toEqual(['1 one', '2 two']);
    await expect.poll(() => pending(resumed.chat)).toEqual([]);
    expect(app.shown.at(-1)).toEqual([]);
  });

  test('shows sent messages until their events arrive', async () => {
    const server = await startRestarting();
    const { ben, room } = await world(server);
    const { session, app } = await start(adapter, ben, room);
    await expect.poll(() => session.chat.state).toBe('live');
    const pending = createPending(session.chat.outbox, room);
    const missing: string[] = [];
    const bodies = ['one', 'two', 'three'];
    const check = () => {
      const history = app.history();
      const shown = [...history, ...pending.without(history)].map(({ body }) => body);
      missing.push(...bodies.filter((body) => !shown.includes(body)));
    };
    await server.stop();
    const sending = bodies.map((body) => session.chat.send({ chatroomId: room, body }));
    app.onHistory(check);
    onTestFinished(pending.subscribe(check));
    await server.start();
    await Promise.all(sending);
    await expect.poll(() => app.shown.at(-1)).toEqual(['1 one', '2 two', '3 three']);
    expect(pending.without(app.history())).toEqual([]);
    expect(missing).toEqual([]);
  });

  test('resumes a session with an expired access token, and signs out', async () => {
    const server = await startTestServer();
    const { ben, room } = await world(server);
    const { session, url } = await start(adapter, ben, room);
    session.chat.close();
    const key = 'parley tokens';
    const tokens = JSON.parse(localStorage.getItem(key) ?? '{}');
    localStorage.setItem(key, JSON.stringify({ ...tokens, accessToken: await expiring(ben, -5) }));
    const resumed = resumeSession(url);
    onTestFinished(() => resumed.chat.close());
    const app = await adapter.open(resumed, url, room);
    await app.send('hello');
    await expect.poll(() => app.shown.at(-1)).toEqual(['1 hello']);
    expect(JSON.parse(localStorage.getItem(key) ?? '{}').refreshToken).not.toBe(tokens.refreshToken);
    await signOut(resumed);
    expect(resumeSession(url)).toBeNull();
  });
});

test('the application with Apollo Client shows typing and read marks', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const [anns, bens] = [ann, ben].map((person) => apollo.createApolloClient({ chat: chatOf(person) }));
  let typing: string[] = [];
  let members: any[] = [];
  onTestFinished(live.followTyping(bens, room, (names: string[]) => (typing = names)));
  onTestFinished(live.followMembers(bens, room, (list: any[]) => (members = list)));
  const markOf = ({ id }: Person) => members.find(({ user }) => user.id === id)?.lastReadNumber;
  await expect.poll(() => markOf(ann)).toBe(0);
  await expect.poll(() => server.node.gauges.streams).toBe(3);

  const report = live.createTypingReporter(anns, room);
  report(true);
  await expect.poll(() => typing).toEqual(['ann']);
  report(false);
  await expect.poll(() => typing).toEqual([]);

  const { id } = await send(ben, room, 'hello');
  await apollo.markRead(anns, id);
  await expect.poll(() => markOf(ann)).toBe(1);
});

/** Provides a `document` that is visible or hidden. */
function stubPage(visibilityState: 'visible' | 'hidden') {
  const page = Object.assign(new EventTarget(), { visibilityState });
  vi.stubGlobal('document', page);
  onTestFinished(() => void vi.unstubAllGlobals());
  return page;
}

test('the read marker sends at most one request per second', async () => {
  stubPage('visible');
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const marked: string[] = [];
  const showed = createReadMarker((id: string) => Promise.resolve(void marked.push(id)));
  const message = (id: string) => ({ id, clientMessageId: null });
  for (const id of ['1', '2', '3']) showed([message(id)]);
  await vi.advanceTimersByTimeAsync(999);
  expect(marked).toEqual(['1']);
  await vi.advanceTimersByTimeAsync(1);
  expect(marked).toEqual(['1', '3']);
  await vi.advanceTimersByTimeAsync(1_000);
  showed([message('3'), { id: 'c4', clientMessageId: 'c4' }]);
  expect(marked).toEqual(['1', '3']);
});

async function bodiesOf(person: Person, room: string): Promise<string[]> {
  const { chatroom } = await person.ask(
    'query ($id: ID!) { chatroom(id: $id) { messages(last: 9) { nodes { body kind } } } }',
    { id: room },
  );
  const sent = chatroom.messages.nodes.filter(({ kind }: any) => kind === 'USER');
  return sent.map(({ body }: any) => body);
}

const tokensOf = () => JSON.parse(localStorage.getItem('parley tokens') ?? 'null');

test('a tab of the previous user sends nothing as the next one', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const url = `${server.url}/graphql`;
  const first = await signIn(url, ann.username, PASSWORD);
  onTestFinished(() => first.chat.close());
  const stream = first.chat.subscribe('subscription { viewerEvents { __typename } }', {});
  stream.next().catch(() => undefined);
  await expect.poll(() => first.chat.state).toBe('live');
  const second = await signIn(url, ben.username, PASSWORD);
  onTestFinished(() => second.chat.close());
  await expect(first.chat.send({ chatroomId: room, body: 'draft' })).rejects.toMatchObject({
    ...{ code: 'UNAUTHENTICATED', message: 'This session has ended. Sign in again.' },
  });
  await expect.poll(() => first.chat.state).toBe('signed-out');
  const later = first.chat.subscribe('subscription { viewerEvents { __typename } }', {});
  await expect(later.next()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  await expect.poll(() => first.chat.state).toBe('signed-out');
  await second.chat.send({ chatroomId: room, body: 'hello' });
  expect(await bodiesOf(ben, room)).toEqual(['hello']);
  expect(tokensOf().user).toEqual(second.user);
  expect(second.chat.state).not.toBe('signed-out');

  // The message is sent after its writer has signed in again.
  const again = await signIn(url, ann.username, PASSWORD);
  onTestFinished(() => again.chat.close());
  await expect.poll(() => bodiesOf(ben, room)).toEqual(['hello', 'draft']);
});

test('a session that ends on the server leaves the tokens of the next user', async () => {
  const server = await startTestServer();
  const { ann, ben } = await world(server);
  const url = `${server.url}/graphql`;
  const first = await signIn(url, ann.username, PASSWORD);
  onTestFinished(() => first.chat.close());
  const tokens = tokensOf();
  const stream = first.chat.subscribe('subscription { viewerEvents { __typename } }', {});
  stream.next().catch(() => undefined);
  await expect.poll(() => first.chat.state).toBe('live');
  const second = await signIn(url, ben.username, PASSWORD);
  onTestFinished(() => second.chat.close());
  await ann.on(tokens).ask('mutation { signOut { __typename } }');
  await expect.poll(() => first.chat.state).toBe('signed-out');
  expect(tokensOf().user).toEqual(second.user);
});

test('signing out deletes the unsent messages of the user', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const session = await signIn(`${server.url}/graphql`, ann.username, PASSWORD);
  await session.chat.send({ chatroomId: room, body: 'x'.repeat(10_001) }).catch(() => undefined);
  const stored = () => Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i));
  expect(stored().some((key) => key?.startsWith('parley outbox'))).toBe(true);
  await signOut(session);
  expect(stored()).toEqual(['parley device token']);
});

test('signing out offline deletes the tokens and the unsent messages', async () => {
  const server = await startRestarting();
  const { ann, room } = await world(server);
  const session = await signIn(`${server.url}/graphql`, ann.username, PASSWORD);
  await server.stop();
  session.chat.send({ chatroomId: room, body: 'unsent' }).catch(() => undefined);
  const reported = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  await signOut(session);
  expect(reported).toHaveBeenCalledOnce();
  expect(Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i))).toEqual(['parley device token']);
});

test('a hidden page marks nothing as read until it is visible', async () => {
  const page = stubPage('hidden');
  const marked: string[] = [];
  const showed = createReadMarker((message: string) => Promise.resolve(void marked.push(message)));
  showed([{ id: 'one', clientMessageId: 'a' }]);
  showed([{ id: 'two', clientMessageId: 'b' }]);
  expect(marked).toEqual([]);
  page.visibilityState = 'visible';
  page.dispatchEvent(new Event('visibilitychange'));
  await expect.poll(() => marked).toEqual(['two']);
});

test('a room that moves during a load stays in the list', async () => {
  let order = Array.from({ length: 31 }, (_, i) => `room ${String(31 - i).padStart(2, '0')}`);
  let first: string[] = [];
  let onQuery: () => void = () => undefined;
  const shown: string[][] = [];
  const list = createRoomList(
    ({ after }: { after?: string }) => {
      first = after ? first : order.slice(0, 30);
      const ids = after ? [...first, ...order.slice(order.indexOf(after) + 1)] : first;
      const edges = ids.map((id) => ({ cursor: id, node: { id, createdAt: id, lastMessageAt: null } }));
      const pageInfo = { hasNextPage: ids.length < order.length };
      const data = { viewer: { cursor: 'now', unreadCount: 0, chatrooms: { edges, pageInfo } } };
      onQuery();
      list.show(data);
      return Promise.resolve(data);
    },
    (rooms: { id: string }[]) => shown.push(rooms.map(({ id }) => id)),
  );
  await list.load();
  await list.loadMore();
  expect(shown.at(-1)).toHaveLength(31);
  onQuery = () => {
    onQuery = () => undefined;
    order = [order[30]!, ...order.slice(0, 30)];
    list.onMessage(order[0]);
  };
  await list.load();
  await expect.poll(() => shown.at(-1)?.toSorted()).toEqual(order.toSorted());
});
