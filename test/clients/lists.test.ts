import { describe, expect, test } from 'vitest';
import { createChat } from '../../client/react/chat.ts';
import { documentsOf } from '../../client/react/documents.ts';
import { createRoom, type RoomStore } from '../../client/react/room.ts';
import { createRooms } from '../../client/react/rooms.ts';
import type { Message, Room, User } from '../../client/react/types.ts';
import { createPresence } from '../../client/react/usePresence.ts';
import { createReadMarks } from '../../client/react/useReadMarks.ts';
import { PASSWORD, type Person } from '../support/client.ts';
import {
  ADD,
  BLOCK,
  createRoom as addRoom,
  DELETE_MESSAGE,
  FRIEND,
  LEAVE,
  MARK_READ,
  REACT,
  REMOVE,
} from '../support/rooms.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { keyOf } from '../../src/core/globalIds.ts';
import { sql } from '../../src/platform/database/database.ts';
import { send, world } from '../support/world.ts';
import { failingSockets } from './failingSockets.ts';
import { apolloChat, CHATS, documents, show } from './stores.ts';

const EDIT =
  'mutation ($id: ID!, $body: String!) { editMessage(input: { messageId: $id, body: $body }) { message { id } } }';
const DELETE_ACCOUNT = `mutation ($password: String) { deleteAccount(input: { password: $password }) { ok } }`;
const UNBLOCK = 'mutation ($id: ID!) { unblockUser(input: { userId: $id }) { user { id } } }';

/** Error after which a stream subscribes again. */
const BUSY = { message: 'Too many requests.', extensions: { code: 'RATE_LIMITED', retryAfterMs: 10 } };

/** Deletes the log of a room except its last event, so that a stream cannot resume. */
const pruneLog = ({ node }: TestServer, room: string) =>
  node.database.query(sql`
    DELETE FROM events e USING chatrooms c
      WHERE e.chatroom_id = ${keyOf('Chatroom', room)}::uuid AND c.id = e.chatroom_id AND e.seq < c.last_seq`);

type Store = RoomStore<Message, Room, User>;

const numbersOf = (store: Store) => store.getSnapshot().messages.map(({ number }) => number);
const bodiesOf = (store: Store) => store.getSnapshot().messages.map(({ body }) => body);
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Sends the numbers up to `count` as messages, and returns the messages. */
async function sendMany(person: Person, room: string, count: number): Promise<{ id: string }[]> {
  const sent: { id: string }[] = [];
  for (let i = 1; i <= count; i += 1) sent.push(await send(person, room, String(i)));
  return sent;
}

/**
 * Creates a `fetch` that delays the answers of an operation. `next()` waits for an answer, which the server has sent, and
 * returns a function that passes on all delayed answers.
 */
function holding(operation: string, send = fetch) {
  const held: (() => void)[] = [];
  let on = false;
  return {
    fetch: async (...[input, init]: Parameters<typeof fetch>) => {
      const answer = await send(input, init);
      if (on && (init?.body as string).includes(`query ${operation}(`))
        await new Promise<void>((resolve) => held.push(resolve));
      return answer;
    },
    hold: () => {
      on = true;
    },
    next: async (): Promise<() => void> => {
      await expect.poll(() => held.length).toBeGreaterThan(0);
      on = false;
      return () => {
        for (const release of held.splice(0)) release();
      };
    },
  };
}

describe.each(CHATS)('the lists of the hooks over %s', (_name, openChat) => {
  test('two page sizes of a room have no gap', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await sendMany(ben, room, 40);
    const chat = openChat(ann);
    const long = createRoom(chat, documents, room, 20);
    show(long);
    await expect.poll(() => numbersOf(long)).toEqual(upTo(40, 21));
    const short = createRoom(chat, documents, room, 5);
    show(short);
    await expect.poll(() => numbersOf(short)).toEqual(upTo(40, 36));
    expect(numbersOf(long)).toEqual(upTo(40, 21));
    await long.loadEarlier();
    await short.loadEarlier();
    await send(ben, room, '41');
    await expect.poll(() => numbersOf(long)).toEqual(upTo(41));
    await expect.poll(() => numbersOf(short)).toEqual(upTo(41, 31));
    expect([long.getSnapshot().hasEarlier, short.getSnapshot().hasEarlier]).toEqual([false, true]);
  });

  test('shorter pages that the application reads shorten no list', async () => {
    const { ann, ben, eve, room } = await world(await startTestServer());
    for (const { id } of [ben, eve]) await ann.ask(FRIEND, { id });
    await addRoom(ben, { kind: 'GROUP', name: 'Another', memberIds: [ann.id, eve.id] });
    const three = await addRoom(ben, { kind: 'GROUP', name: 'Of three', memberIds: [ann.id, eve.id] });
    await sendMany(ben, three, 20);
    const chat = openChat(ann);
    const rooms = createRooms(chat, documents);
    const store = createRoom(chat, documents, three, 10);
    const marks = createReadMarks(chat, documents, three);
    const friends = createPresence(chat, documents);
    for (const each of [rooms, store, marks, friends]) show(each);
    const counts = () => [
      rooms.getSnapshot().rooms.length,
      numbersOf(store).length,
      marks.getSnapshot().marks.length,
      friends.getSnapshot().friends.length,
    ];
    await expect.poll(counts).toEqual([3, 10, 2, 2]);
    for (const items of ['nodes { id }', 'edges { cursor node { id } }']) {
      await chat.read(
        `query ($id: ID!) {
          viewer { id chatrooms(first: 1) { ${items} } friends(first: 1) { ${items} } }
          chatroom(id: $id) { id members(first: 1) { ${items} } messages(last: 1) { ${items} } }
        }`,
        { id: three },
      );
      await chat.read(`query ($id: ID!) { chatroom(id: $id) { id messages(first: 2) { ${items} } } }`, { id: three });
    }
    // Events update the cache after the pages.
    await send(ben, three, '21');
    await send(ben, room, 'first');
    await expect.poll(() => rooms.getSnapshot().rooms[0]?.lastMessage?.body).toBe('first');
    await expect.poll(counts).toEqual([3, 11, 2, 2]);
    expect(numbersOf(store)).toEqual(upTo(21, 11));
  });

  test('a room opens while a stream over all rooms writes previews', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await sendMany(ben, room, 5);
    const sockets = failingSockets();
    const chat = openChat(ann, { webSocketImpl: sockets.webSocketImpl });
    const rooms = createRooms(chat, documents);
    const preview = () => rooms.getSnapshot().rooms[0]?.lastMessage?.body;
    show(rooms);
    await expect.poll(preview).toBe('5');
    const store = createRoom(chat, documents, room, 3);
    sockets.hold('ParleyRoomEvents');
    show(store);
    await expect.poll(sockets.held).toBe(1);
    await send(ben, room, 'while it opens');
    await expect.poll(preview).toBe('while it opens');
    sockets.release();
    await expect.poll(() => bodiesOf(store)).toEqual(['3', '4', '5', 'while it opens']);
    expect(store.getSnapshot()).toMatchObject({ loading: false, error: null });
  });

  test('earlier messages load while others write and edit', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const sent = await sendMany(ben, room, 9);
    const answers = holding('ParleyPage');
    const chat = openChat(ann, { fetch: answers.fetch });
    const rooms = createRooms(chat, documents);
    const store = createRoom(chat, documents, room, 4);
    for (const each of [rooms, store]) show(each);
    await expect.poll(() => numbersOf(store)).toEqual(upTo(9, 6));
    answers.hold();
    const loading = store.loadEarlier();
    const release = await answers.next();
    await ben.ask(EDIT, { id: sent[3]!.id, body: 'edited' });
    await send(ben, room, '10');
    // Events arrive in order, so the edit has arrived.
    await expect.poll(() => numbersOf(store)).toEqual(upTo(10, 6));
    await expect.poll(() => rooms.getSnapshot().rooms[0]?.lastMessage?.body).toBe('10');
    release();
    await loading;
    expect(numbersOf(store)).toEqual(upTo(10, 2));
    await expect.poll(() => bodiesOf(store)).toEqual(['2', '3', 'edited', '5', '6', '7', '8', '9', '10']);
    expect(store.getSnapshot().error).toBeNull();
  });

  test('an edit that arrives between a response and its write is shown', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const sent = await sendMany(ben, room, 3);
    const sockets = failingSockets();
    const answers = holding('ParleyPage');
    const { client, cache } = openChat(ann, { fetch: answers.fetch, webSocketImpl: sockets.webSocketImpl });
    const execute: typeof client.execute = async (...args) => {
      const answer = await client.execute(...args);
      setImmediate(() => {
        sockets.release();
      });
      return answer;
    };
    const chat = createChat(Object.assign(Object.create(client) as typeof client, { execute }), cache);
    const store = createRoom(chat, documents, room, 2);
    show(store);
    await expect.poll(() => numbersOf(store)).toEqual([2, 3]);
    await expect.poll(() => client.state).toBe('live');
    answers.hold();
    const loading = store.loadEarlier();
    const release = await answers.next();
    sockets.hold('ParleyRoomEvents');
    await ben.ask(EDIT, { id: sent[0]!.id, body: 'edited' });
    await expect.poll(sockets.held).toBe(1);
    release();
    await loading;
    expect(sockets.held()).toBe(0);
    await expect.poll(() => bodiesOf(store)).toEqual(['edited', '2', '3']);
  });

  test('later messages reach the newest ones while others write', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await sendMany(ben, room, 14);
    const answers = holding('ParleyPage');
    const store = createRoom(openChat(ann, { fetch: answers.fetch }), documents, room, 4);
    const added: number[] = [];
    show(store);
    await expect.poll(() => numbersOf(store)).toEqual(upTo(14, 11));
    expect(await store.jumpTo(4)).toBe(true);
    expect(numbersOf(store)).toEqual(upTo(6, 2));
    store.onMessage(({ number }) => added.push(number));
    await store.loadLater();
    expect(numbersOf(store)).toEqual(upTo(10, 2));
    expect(store.getSnapshot()).toMatchObject({ hasEarlier: true, hasLater: true });
    answers.hold();
    const loading = store.loadLater();
    const release = await answers.next();
    await send(ben, room, '15');
    await expect.poll(() => added).toEqual([15]);
    release();
    await loading;
    expect(numbersOf(store)).toEqual(upTo(15, 2));
    expect(store.getSnapshot().hasLater).toBe(false);
    await send(ben, room, '16');
    await expect.poll(() => numbersOf(store)).toEqual(upTo(16, 2));
    store.showNewest();
    expect(numbersOf(store)).toEqual(upTo(16, 13));
    await store.loadEarlier();
    expect(numbersOf(store)).toEqual(upTo(16, 9));
  });

  test('edits, deletions and reactions change rows of all pages', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const sent = await sendMany(ben, room, 12);
    const chat = openChat(ann);
    const store = createRoom(chat, documents, room, 4);
    show(store);
    await expect.poll(() => numbersOf(store)).toEqual(upTo(12, 9));
    await store.loadEarlier();
    await store.loadEarlier();
    // Enough for several parts of added messages.
    for (let i = 13; i <= 70; i += 1) sent.push(await send(ben, room, String(i)));
    await expect.poll(() => numbersOf(store)).toEqual(upTo(70));
    const before = store.getSnapshot().messages;
    const changed = [1, 6, 11, 13, 40, 69, 70];
    for (const number of changed) {
      const { id } = sent[number - 1]!;
      if (number % 3 === 0) await ben.ask(DELETE_MESSAGE, { id });
      else if (number % 3 === 1) await ben.ask(EDIT, { id, body: `${number} edited` });
      else await ann.ask(REACT, { id });
    }
    const stateOf = ({ number, body, deletedAt, reactions }: (typeof before)[number]) => {
      if (deletedAt) return 'deleted';
      return body === String(number) ? reactions.map(({ emoji }) => emoji).join('') : body;
    };
    const states = () => store.getSnapshot().messages.map(stateOf);
    const expected = upTo(70).map((number) => {
      if (!changed.includes(number)) return '';
      return ['deleted', `${number} edited`, '👍'][number % 3];
    });
    await expect.poll(states).toEqual(expected);
    // Unchanged rows keep their objects, so that React does not render them again.
    const isSame = (number: number) => store.getSnapshot().messages[number - 1] === before[number - 1];
    expect(upTo(70).filter((number) => !isSame(number))).toEqual(changed);
  });

  test('a room is loaded again if missed events cannot be replayed', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await sendMany(ben, room, 6);
    const sockets = failingSockets();
    const store = createRoom(openChat(ann, { webSocketImpl: sockets.webSocketImpl }), documents, room, 4);
    show(store);
    await expect.poll(() => numbersOf(store)).toEqual(upTo(6, 3));
    sockets.fail('ParleyRoomEvents', BUSY);
    // Missed, because the room's events cannot be replayed.
    await sendMany(ben, room, 2);
    await pruneLog(server, room);
    sockets.recover();
    await expect.poll(() => numbersOf(store)).toEqual(upTo(8, 5));
    await send(ben, room, '9');
    await expect.poll(() => numbersOf(store)).toEqual(upTo(9, 5));
    await store.loadEarlier();
    expect(numbersOf(store)).toEqual(upTo(9));
    expect(store.getSnapshot()).toMatchObject({ error: null, hasEarlier: false });
  });

  test('two page sizes of a room both load missed messages', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await sendMany(ben, room, 6);
    const sockets = failingSockets();
    const chat = openChat(ann, { webSocketImpl: sockets.webSocketImpl });
    const [long, short] = [createRoom(chat, documents, room, 6), createRoom(chat, documents, room, 3)];
    const events: string[] = [];
    chat.viewerEvents.listen(({ __typename }) => events.push(__typename));
    for (const each of [long, short]) show(each);
    await expect.poll(() => [numbersOf(long), numbersOf(short)]).toEqual([upTo(6), upTo(6, 4)]);
    // A later snapshot of the viewer would load the messages once more.
    await expect.poll(() => events).toContain('ViewerSnapshot');
    sockets.fail('ParleyRoomEvents', BUSY);
    // Missed by both, because the room's events cannot be replayed.
    await sendMany(ben, room, 2);
    await pruneLog(server, room);
    sockets.recover();
    await expect.poll(() => [numbersOf(long), numbersOf(short)]).toEqual([upTo(8, 3), upTo(8, 6)]);
    await send(ben, room, '9');
    await expect.poll(() => [numbersOf(long), numbersOf(short)]).toEqual([upTo(9, 3), upTo(9, 6)]);
  });

  test('a slow snapshot after missed messages shows one page', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await sendMany(ben, room, 6);
    const sockets = failingSockets();
    const queries: string[] = [];
    const chat = openChat(ann, {
      webSocketImpl: sockets.webSocketImpl,
      fetch(input, init) {
        queries.push(JSON.parse(init?.body as string).query);
        return fetch(input, init);
      },
    });
    const events: string[] = [];
    chat.viewerEvents.listen(({ __typename }) => events.push(__typename));
    const store = createRoom(chat, documents, room, 3);
    show(store);
    await expect.poll(() => numbersOf(store)).toEqual(upTo(6, 4));
    await expect.poll(() => events).toContain('ViewerSnapshot');
    sockets.fail('ParleyRoomEvents', BUSY);
    await sendMany(ben, room, 2);
    await pruneLog(server, room);
    sockets.hold('ParleyRoomEvents');
    sockets.recover();
    await expect.poll(sockets.held).toBe(1);
    // A load before the snapshot would show earlier messages, because it keeps the first message that is shown.
    expect(queries.filter((query) => query.includes('ParleyHistory'))).toEqual([]);
    sockets.release();
    await expect.poll(() => numbersOf(store)).toEqual(upTo(8, 6));
  });

  test('messages lose their sender when the account is deleted', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ben, room, 'hello');
    const store = createRoom(openChat(ann), documents, room, 3);
    show(store);
    const senders = () => store.getSnapshot().messages.map(({ sender }) => sender?.username ?? null);
    await expect.poll(senders).toEqual(['ben']);
    await ben.ask(DELETE_ACCOUNT, { password: PASSWORD });
    await expect.poll(() => senders()[0]).toBeNull();
  });

  test('a block during the load of a room hides messages', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ann, room, 'hello');
    await send(ben, room, 'an insult');
    const sockets = failingSockets();
    const chat = openChat(ann, { webSocketImpl: sockets.webSocketImpl });
    const store = createRoom(chat, documents, room, 20);
    sockets.hold('ParleyRoomEvents');
    const hide = show(store);
    await expect.poll(sockets.held).toBe(1);
    await ann.ask(BLOCK, { id: ben.id });
    sockets.release();
    await expect.poll(() => bodiesOf(store)).toEqual(['hello']);
    hide();
    await ann.ask(UNBLOCK, { id: ben.id });
    // The stream of a list delivers the block before the room has opened.
    const events: string[] = [];
    const rooms = createRooms(chat, documents);
    rooms.onEvent(({ __typename }) => events.push(__typename));
    show(rooms);
    await expect.poll(() => rooms.getSnapshot().rooms[0]?.lastMessage?.body).toBe('an insult');
    sockets.hold('ParleyRoomEvents');
    show(store);
    await expect.poll(sockets.held).toBe(1);
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(() => events).toContain('BlockChanged');
    sockets.release();
    await expect.poll(() => bodiesOf(store)).toEqual(['hello']);
  });

  test('a block while the list loads hides messages of a room', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ann, room, 'hello');
    await send(ben, room, 'an insult');
    const answers = holding('ParleyRooms');
    const chat = openChat(ann, { fetch: answers.fetch });
    const store = createRoom(chat, documents, room, 20);
    show(store);
    await expect.poll(() => bodiesOf(store)).toEqual(['hello', 'an insult']);
    answers.hold();
    show(createRooms(chat, documents));
    const release = await answers.next();
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(() => bodiesOf(store)).toEqual(['hello']);
    release();
  });

  test('an older list of rooms overwrites no edit', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const { id } = await send(ben, room, 'a secret');
    const answers = holding('ParleyRooms');
    const chat = openChat(ann, { fetch: answers.fetch });
    const rooms = createRooms(chat, documents);
    const store = createRoom(chat, documents, room, 20);
    for (const each of [rooms, store]) show(each);
    const preview = () => rooms.getSnapshot().rooms.find((each) => each.id === room)?.lastMessage?.body;
    await expect.poll(preview).toBe('a secret');
    await expect.poll(() => bodiesOf(store)).toEqual(['a secret']);
    answers.hold();
    const another = await addRoom(ben, { kind: 'GROUP', name: 'Another', memberIds: [ann.id] });
    const release = await answers.next();
    await ben.ask(EDIT, { id, body: 'edited' });
    await expect.poll(() => bodiesOf(store)).toEqual(['edited']);
    release();
    await expect.poll(() => rooms.getSnapshot().rooms.map((each) => each.id)).toContain(another);
    expect([preview(), ...bodiesOf(store)]).toEqual(['edited', 'edited']);
  });

  test('an older list of rooms overwrites no message of a room opened since', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const { id } = await send(ben, room, 'first');
    const answers = holding('ParleyRooms');
    const chat = openChat(ann, { fetch: answers.fetch });
    const rooms = createRooms(chat, documents);
    const store = createRoom(chat, documents, room, 20);
    answers.hold();
    show(rooms);
    const release = await answers.next();
    await ben.ask(EDIT, { id, body: 'edited' });
    show(store);
    await expect.poll(() => bodiesOf(store)).toEqual(['edited']);
    release();
    await expect.poll(() => rooms.getSnapshot().loading).toBe(false);
    await send(ben, room, 'second');
    await expect.poll(() => bodiesOf(store).at(-1)).toBe('second');
    expect(bodiesOf(store)).toEqual(['edited', 'second']);
  });

  test('a jump during a block shows no messages of the blocked user', async () => {
    const { ann, ben, eve } = await world(await startTestServer());
    const room = await addRoom(eve, { kind: 'GROUP', name: 'Of three', memberIds: [ann.id, ben.id] });
    for (let i = 1; i <= 6; i += 1) await send(i % 2 ? ben : eve, room, String(i));
    for (let i = 7; i <= 20; i += 1) await send(eve, room, String(i));
    const answers = holding('ParleyPage');
    const chat = openChat(ann, { fetch: answers.fetch });
    const store = createRoom(chat, documents, room, 4);
    const events: string[] = [];
    show(store);
    chat.viewerEvents.listen(({ __typename }) => events.push(__typename));
    await expect.poll(() => bodiesOf(store)).toEqual(['17', '18', '19', '20']);
    answers.hold();
    const jumping = store.jumpTo(4);
    const release = await answers.next();
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(() => events).toContain('BlockChanged');
    release();
    await jumping;
    expect(bodiesOf(store)).toEqual(['2', '4', '6', '7']);
  });

  test('an edit is shown while another message is incomplete in the cache', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const sent = await sendMany(ben, room, 9);
    await ben.ask(REACT, { id: sent[0]!.id });
    const loads: string[][] = [];
    const answers = holding('ParleyMessages', (input, init) => {
      const { query, variables } = JSON.parse(init?.body as string);
      if (query.includes('query ParleyMessages(')) loads.push(variables.ids);
      return fetch(input, init);
    });
    const chat = openChat(ann, { fetch: answers.fetch });
    const message =
      'fragment Row on Message { body reactions { emoji count users(first: 3) { nodes { id username } } } }';
    const store = createRoom(chat, documentsOf<Message, Room, User>({ message }), room, 20);
    show(store);
    await expect.poll(() => bodiesOf(store)).toHaveLength(9);
    answers.hold();
    // Lacks the emoji and the users of the reaction, which then are no longer in the cache.
    await chat.read('query ($id: ID!) { chatroom(id: $id) { id message(number: 1) { id reactions { count } } } }', {
      id: room,
    });
    const release = await answers.next();
    await ben.ask(EDIT, { id: sent[1]!.id, body: 'edited' });
    await expect.poll(() => bodiesOf(store).slice(0, 3)).toEqual(['1', 'edited', '3']);
    await ben.ask(EDIT, { id: sent[0]!.id, body: 'first' });
    release();
    await expect.poll(() => bodiesOf(store).slice(0, 3)).toEqual(['first', 'edited', '3']);
    const [first] = store.getSnapshot().messages;
    expect(first).toMatchObject({ reactions: [{ emoji: '👍', count: 1, users: { nodes: [{ username: 'ben' }] } }] });
    // The cache itself sends no query of all rows.
    expect(loads).toEqual([[first!.id]]);
  });

  test.each([
    ['disjoint fields', 'emoji count', 'emoji users(first: 3) { nodes { id username } }'],
    ['nothing in common', 'count', 'users(first: 3) { nodes { id username } }'],
  ])('lists that select %s of reactions stop loading', async (_fields, ...selections) => {
    const { ann, ben, room } = await world(await startTestServer());
    const [first] = await sendMany(ben, room, 3);
    let loads = 0;
    const chat = openChat(ann, {
      fetch(input, init) {
        const { query, variables } = JSON.parse(init?.body as string);
        if (query.includes('query ParleyMessages(') && variables.ids.includes(first!.id)) loads += 1;
        return fetch(input, init);
      },
    });
    const stores = selections.map((selected, i) => {
      const message = `fragment Row${i} on Message { body reactions { ${selected} } }`;
      return createRoom(chat, documentsOf<any, Room, User>({ message }), room, 20);
    });
    for (const store of stores) show(store);
    const reactions = () => stores.map((store) => store.getSnapshot().messages[0]?.reactions[0]);
    await expect.poll(() => stores.map((store) => store.getSnapshot().messages.length)).toEqual([3, 3]);
    await ben.ask(REACT, { id: first!.id });
    const users = { nodes: [{ username: 'ben' }] };
    await expect.poll(reactions).toMatchObject([{ count: 1 }, { users }]);
    // Each message takes as long as a load.
    for (let i = 4; i < 24; i += 1) {
      await send(ben, room, String(i));
      await expect.poll(() => stores.map((store) => store.getSnapshot().messages.length)).toEqual([i, i]);
    }
    expect(reactions()).toMatchObject([{ count: 1 }, { users }]);
    // Each list loads the row at most three times, and not once for each message or more.
    expect(loads).toBeLessThanOrEqual(6);
  });

  test('a row stays while another list makes it incomplete during its load', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const [first] = await sendMany(ben, room, 3);
    await ben.ask(REACT, { id: first!.id });
    const sockets = failingSockets();
    const answers = holding('ParleyMessages');
    const chat = openChat(ann, { fetch: answers.fetch, webSocketImpl: sockets.webSocketImpl });
    const [users, counts] = ['users(first: 3) { nodes { id username } }', 'count'].map((selected, i) => {
      const message = `fragment Row${i} on Message { body reactions { ${selected} } }`;
      return createRoom(chat, documentsOf<any, Room, User>({ message }), room, 20);
    });
    show(counts!);
    await expect.poll(() => numbersOf(counts!)).toEqual(upTo(3));
    answers.hold();
    show(users!);
    await expect.poll(() => numbersOf(users!)).toEqual(upTo(3));
    await expect.poll(() => chat.client.state).toBe('live');
    // Only the other list receives events.
    sockets.hold('fragment Row0');
    await chat.read('query ($id: ID!) { chatroom(id: $id) { id message(number: 1) { id reactions { count } } } }', {
      id: room,
    });
    const release = await answers.next();
    await ben.ask(EDIT, { id: first!.id, body: 'edited' });
    await expect.poll(() => counts!.getSnapshot().messages[0]?.body).toBe('edited');
    release();
    await chat.read('query ($id: ID!) { chatroom(id: $id) { id } }', { id: room });
    expect(numbersOf(users!)).toEqual(upTo(3));
    sockets.release();
    await expect
      .poll(() => users!.getSnapshot().messages[0])
      .toMatchObject({
        body: 'edited',
        reactions: [{ users: { nodes: [{ username: 'ben' }] } }],
      });
  });

  test('a jump during the reload after a block is shown', async () => {
    const { ann, ben, eve } = await world(await startTestServer());
    const room = await addRoom(eve, { kind: 'GROUP', name: 'Of three', memberIds: [ann.id, ben.id] });
    await sendMany(eve, room, 30);
    const jumps = holding('ParleyOneMessage');
    const reloads = holding('ParleyHistory', jumps.fetch);
    const chat = openChat(ann, { fetch: reloads.fetch });
    const store = createRoom(chat, documents, room, 4);
    show(store);
    await expect.poll(() => numbersOf(store)).toEqual(upTo(30, 27));
    await store.jumpTo(5);
    expect(numbersOf(store)).toEqual(upTo(7, 3));
    reloads.hold();
    await ann.ask(BLOCK, { id: ben.id });
    const reload = await reloads.next();
    jumps.hold();
    const jumping = store.jumpTo(15);
    const jump = await jumps.next();
    reload();
    // The reload loads the messages around the first place again.
    await expect.poll(() => numbersOf(store)).not.toEqual([]);
    jump();
    expect(await jumping).toBe(true);
    await expect.poll(() => numbersOf(store)).toEqual(upTo(17, 13));
    store.showNewest();
    expect(numbersOf(store)).toEqual(upTo(30, 27));
  });

  test('a jump during the load of a room is shown', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await sendMany(ben, room, 20);
    const sockets = failingSockets();
    const store = createRoom(openChat(ann, { webSocketImpl: sockets.webSocketImpl }), documents, room, 4);
    sockets.hold('ParleyRoomEvents');
    show(store);
    await expect.poll(sockets.held).toBe(1);
    const jumping = store.jumpTo(5);
    sockets.release();
    expect(await jumping).toBe(true);
    expect(numbersOf(store)).toEqual(upTo(7, 3));
  });

  test('a room opens again for a member who is added again', async () => {
    const { ann, ben } = await world(await startTestServer());
    const room = await addRoom(ben, { kind: 'GROUP', name: 'Of two', memberIds: [ann.id] });
    await send(ben, room, 'one');
    const chat = openChat(ann);
    const store = createRoom(chat, documents, room, 20);
    const marks = createReadMarks(chat, documents, room);
    for (const each of [store, marks]) show(each);
    const state = () => [store.getSnapshot().error?.code, ...bodiesOf(store), marks.getSnapshot().marks.length];
    const errors = () => [store, marks].map((each) => each.getSnapshot().error?.code);
    await expect.poll(state).toEqual([undefined, 'one', 1]);
    await ben.ask(REMOVE, { id: room, user: ann.id });
    await expect.poll(errors).toEqual(['NOT_FOUND', 'NOT_FOUND']);
    await ben.ask(ADD, { id: room, users: [ann.id] });
    await send(ben, room, 'welcome back');
    await expect.poll(() => store.getSnapshot().error).toBeNull();
    await expect.poll(() => bodiesOf(store).at(-1)).toBe('welcome back');
    await expect.poll(errors).toEqual([undefined, undefined]);
    const { id, number } = await send(ann, room, 'thanks');
    await ben.ask(MARK_READ, { id });
    await expect.poll(() => marks.getSnapshot().marks[0]?.lastReadNumber).toBe(number);
  });

  test('a page of rooms does not restore a room that has vanished', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ben, room, 'the newest');
    for (let i = 1; i <= 50; i += 1) await addRoom(ben, { kind: 'GROUP', name: String(i), memberIds: [ann.id] });
    const answers = holding('ParleyRooms');
    const rooms = createRooms(openChat(ann, { fetch: answers.fetch }), documents);
    const ids = () => rooms.getSnapshot().rooms.map(({ id }) => id);
    show(rooms);
    await expect.poll(() => [ids().length, ids().includes(room)]).toEqual([50, false]);
    const vanished: string[] = [];
    rooms.onEvent((event) => {
      if (event.__typename === 'ChatroomVanished') vanished.push(event.chatroomId);
    });
    answers.hold();
    const loading = rooms.loadMore();
    const release = await answers.next();
    await ann.ask(LEAVE, { id: room });
    await expect.poll(() => vanished).toEqual([room]);
    release();
    await loading;
    await expect.poll(() => rooms.getSnapshot()).toMatchObject({ loading: false, hasMore: false });
    expect([ids().length, ids().includes(room)]).toEqual([50, false]);
  });

  test('a room that moves during a load stays in the list', async () => {
    const { ann, ben, eve, room } = await world(await startTestServer());
    await send(ben, room, 'the oldest');
    for (let i = 1; i <= 50; i += 1) await addRoom(ben, { kind: 'GROUP', name: String(i), memberIds: [ann.id] });
    let requests = 0;
    const pages = holding('ParleyRooms', (input, init) => {
      if ((init?.body as string).includes('query ParleyRooms(')) requests += 1;
      return fetch(input, init);
    });
    const rooms = createRooms(openChat(ann, { fetch: pages.fetch }), documents);
    const ids = () => rooms.getSnapshot().rooms.map(({ id }) => id);
    const preview = () => rooms.getSnapshot().rooms.find(({ id }) => id === room)?.lastMessage?.body;
    show(rooms);
    // The list is loaded again when its stream has started.
    await expect.poll(() => requests).toBe(2);
    await rooms.loadMore();
    await expect.poll(() => ids().length).toBe(51);
    requests = 0;
    pages.hold();
    await ann.ask(BLOCK, { id: eve.id });
    const release = await pages.next();
    await send(ben, room, 'moved');
    await expect.poll(preview).toBe('moved');
    release();
    // The first page was too old to contain the room, so both pages are loaded again.
    await expect.poll(() => requests).toBe(4);
    await expect.poll(() => [ids().length, ids()[0]]).toEqual([51, room]);
  });

  test('two calls for more rooms load one page', async () => {
    const { ann } = await world(await startTestServer());
    for (let i = 1; i <= 120; i += 1) await addRoom(ann, { kind: 'GROUP', name: String(i), memberIds: [] });
    let requests = 0;
    const chat = openChat(ann, {
      fetch(input, init) {
        if ((init?.body as string).includes('query ParleyRooms(')) requests += 1;
        return fetch(input, init);
      },
    });
    const rooms = createRooms(chat, documents);
    const count = () => rooms.getSnapshot().rooms.length;
    show(rooms);
    await expect.poll(() => [count(), chat.client.state]).toEqual([50, 'live']);
    // The list is loaded again when its stream has started.
    await expect.poll(() => requests).toBe(2);
    await Promise.all([rooms.loadMore(), rooms.loadMore()]);
    await expect.poll(count).toBe(100);
    expect(requests).toBe(3);
  });

  test('a block hides messages of an open room and of the list', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const room = await addRoom(eve, { kind: 'GROUP', name: 'Of three', memberIds: [ann.id, ben.id] });
    for (let i = 1; i <= 6; i += 1) await send(i % 2 ? ben : eve, room, String(i));
    await send(ben, room, 'an insult');
    const chat = openChat(ann);
    const rooms = createRooms(chat, documents);
    const store = createRoom(chat, documents, room, 3);
    const marks = createReadMarks(chat, documents, room);
    for (const each of [rooms, store, marks]) show(each);
    await expect.poll(() => bodiesOf(store)).toEqual(['5', '6', 'an insult']);
    await expect.poll(() => marks.getSnapshot().marks).toHaveLength(2);
    await store.loadEarlier();
    expect(bodiesOf(store)).toEqual(['2', '3', '4', '5', '6', 'an insult']);
    const preview = () => rooms.getSnapshot().rooms[0]?.lastMessage?.body;
    await expect.poll(preview).toBe('an insult');
    // Two streams of the list, four of the room and its read marks: the block arrives by the stream of the list.
    await expect.poll(() => server.node.gauges.streams).toBe(6);
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(() => bodiesOf(store)).toEqual(['2', '4', '6']);
    await expect.poll(preview).toBe('6');
    await expect.poll(() => marks.getSnapshot().marks).toHaveLength(1);
    await send(ben, room, 'unheard');
    await send(eve, room, 'heard');
    await expect.poll(() => bodiesOf(store)).toEqual(['2', '4', '6', 'heard']);
    await ann.ask(UNBLOCK, { id: ben.id });
    // Whole pages are loaded, down to the oldest message that was shown.
    const all = ['1', '2', '3', '4', '5', '6', 'an insult', 'unheard', 'heard'];
    await expect.poll(() => bodiesOf(store)).toEqual(all);
    expect(server.node.gauges.streams).toBe(6);
  });

  test('a block hides messages without a list of rooms', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'hello');
    await send(ben, room, 'an insult');
    const chat = openChat(ann);
    const store = createRoom(chat, documents, room, 20);
    show(store);
    await expect.poll(() => bodiesOf(store)).toEqual(['hello', 'an insult']);
    const streams = () => server.node.gauges.streams;
    await expect.poll(streams).toBe(4);
    // The list brings its own stream of the viewer's events, which replaces the one of the room.
    const hide = show(createRooms(chat, documents));
    await expect.poll(streams).toBe(5);
    hide();
    await expect.poll(streams).toBe(4);
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(() => bodiesOf(store)).toEqual(['hello']);
  });
});

test('Apollo Client loads rows again that the application has removed', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  const sent = await sendMany(ben, room, 3);
  const chat = apolloChat(ann);
  const store = createRoom(chat, documents, room, 2);
  show(store);
  await expect.poll(() => numbersOf(store)).toEqual([2, 3]);
  await send(ben, room, '4');
  await expect.poll(() => numbersOf(store)).toEqual([2, 3, 4]);
  chat.apollo.cache.evict({ id: 'ROOT_QUERY', fieldName: 'nodes' });
  chat.apollo.cache.gc();
  await ben.ask(EDIT, { id: sent[1]!.id, body: 'edited' });
  await expect.poll(() => bodiesOf(store)).toEqual(['edited', '3', '4']);
});
