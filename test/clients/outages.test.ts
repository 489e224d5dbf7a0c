import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createRoom } from '../../client/react/room.ts';
import { createRooms } from '../../client/react/rooms.ts';
import { createPresence } from '../../client/react/usePresence.ts';
import { createReadMarks } from '../../client/react/useReadMarks.ts';
import { ADD, BLOCK, createRoom as addRoom, FRIEND } from '../support/rooms.ts';
import { startTestServer } from '../support/server.ts';
import { send, world } from '../support/world.ts';
import { failingSockets } from './failingSockets.ts';
import { CHATS, documents, show } from './stores.ts';

const FAILURE = { message: 'It failed.', extensions: { code: 'INTERNAL_SERVER_ERROR' } };

/** Creates options of a chat client. From `begin` to `end`, its server answers as if it had no database. */
function outage() {
  let isDown = false;
  const sockets = failingSockets();
  return {
    options: {
      webSocketImpl: sockets.webSocketImpl,
      fetch: (...args: Parameters<typeof fetch>) =>
        isDown ? Promise.resolve(Response.json({ errors: [FAILURE] })) : fetch(...args),
    },
    begin() {
      isDown = true;
      sockets.fail('', FAILURE);
    },
    end() {
      isDown = false;
      sockets.recover();
    },
  };
}

describe.each(CHATS)('an outage of the database over %s', (_name, openChat) => {
  async function openStores(pageSize = 20) {
    const { ann, ben, room } = await world(await startTestServer());
    await ann.ask(FRIEND, { id: ben.id });
    await send(ben, room, 'before');
    const { options, ...database } = outage();
    const chat = openChat(ann, options);
    const store = createRoom(chat, documents, room, pageSize);
    const rooms = createRooms(chat, documents);
    const friends = createPresence(chat, documents);
    const marks = createReadMarks(chat, documents, room);
    const all = [store, rooms, friends, marks];
    return {
      ...{ ben, room, database, store, rooms, all },
      errors: () => all.map((each) => each.getSnapshot().error?.code),
      shown: () => [
        store
          .getSnapshot()
          .messages.map(({ body }) => body)
          .join(),
        rooms.getSnapshot().rooms[0]?.lastMessage?.body,
        friends.getSnapshot().friends.length,
        marks.getSnapshot().marks.length,
      ],
    };
  }
  const failed = Array.from({ length: 4 }, () => 'INTERNAL_SERVER_ERROR');
  const sound = Array.from({ length: 4 }, () => undefined);

  /** Opens a room of five messages, and shows the newest one. */
  async function openNewest() {
    const { ben, room, database, store } = await openStores(1);
    const numbers = () => store.getSnapshot().messages.map(({ number }) => number);
    for (let i = 2; i <= 5; i += 1) await send(ben, room, String(i));
    show(store);
    await expect.poll(numbers).toEqual([5]);
    return { database, store, numbers };
  }

  test('all stores load after an outage at their start', async () => {
    const { ben, room, database, all, errors, shown } = await openStores();
    database.begin();
    for (const each of all) show(each);
    await expect.poll(errors).toEqual(failed);
    database.end();
    await expect.poll(shown).toEqual(['before', 'before', 1, 1]);
    expect([...errors(), ...all.map((each) => each.getSnapshot().loading)]).toEqual([
      ...sound,
      ...failed.map(() => false),
    ]);
    await send(ben, room, 'after');
    await expect.poll(shown).toEqual(['before,after', 'after', 1, 1]);
  });

  test('all stores load again after an outage has ended their streams', async () => {
    const { ben, room, database, all, errors, shown } = await openStores();
    for (const each of all) show(each);
    await expect.poll(shown).toEqual(['before', 'before', 1, 1]);
    database.begin();
    await expect.poll(errors).toEqual(failed);
    await send(ben, room, 'meanwhile');
    expect(shown()).toEqual(['before', 'before', 1, 1]);
    database.end();
    await expect.poll(shown).toEqual(['before,meanwhile', 'meanwhile', 1, 1]);
    await expect.poll(errors).toEqual(sound);
    await send(ben, room, 'after');
    await expect.poll(shown).toEqual(['before,meanwhile,after', 'after', 1, 1]);
  });

  test('no query runs on after the stores have stopped', async () => {
    const { ann, room } = await world(await startTestServer());
    let requests = 0;
    const chat = openChat(ann, {
      fetch() {
        requests += 1;
        return Promise.reject(new TypeError('The network was lost.'));
      },
    });
    const all = [
      createRoom(chat, documents, room, 20),
      ...[createRooms(chat, documents), createPresence(chat, documents), createReadMarks(chat, documents, room)],
    ];
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const hides = all.map((each) => show(each));
    await vi.advanceTimersByTimeAsync(2_000);
    expect(requests).toBeGreaterThan(4);
    for (const hide of hides) hide();
    await vi.advanceTimersByTimeAsync(1);
    requests = 0;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(requests).toBe(0);
  });

  test('a reload that fails after the room was left reopens nothing', async () => {
    const { ann, ben, eve } = await world(await startTestServer());
    const room = await addRoom(ben, { kind: 'GROUP', name: 'Of two', memberIds: [eve.id] });
    let failReload: (() => void) | null = null;
    let reloads = 0;
    const sockets = failingSockets();
    const chat = openChat(ann, {
      webSocketImpl: sockets.webSocketImpl,
      async fetch(input, init) {
        if (!(init?.body as string).includes('query ParleyHistory(') || (reloads += 1) > 1) return fetch(input, init);
        await new Promise<void>((resolve) => (failReload = resolve));
        return Response.json({ errors: [{ message: 'It failed.', extensions: { code: 'NOT_FOUND' } }] });
      },
    });
    const rooms = createRooms(chat, documents);
    const events: string[] = [];
    rooms.onEvent(({ __typename }) => events.push(__typename));
    const hideRooms = show(rooms);
    await expect.poll(() => chat.client.state).toBe('live');
    // The event of this addition arrives after the room has been opened.
    sockets.hold('ParleyViewerEvents');
    await ben.ask(ADD, { id: room, users: [ann.id] });
    const store = createRoom(chat, documents, room, 20);
    const hide = show(store);
    await expect.poll(() => store.getSnapshot().messages.length).toBeGreaterThan(0);
    sockets.release();
    await expect.poll(() => events).toContain('ChatroomAppeared');
    await ann.ask(BLOCK, { id: eve.id });
    await expect.poll(() => failReload).not.toBeNull();
    for (const each of [hide, hideRooms]) each();
    await expect.poll(() => chat.client.state).toBe('idle');
    failReload!();
    await chat.client.execute('{ viewer { id } }', {});
    expect([reloads, chat.client.state]).toEqual([1, 'idle']);
  });

  test('a jump between two attempts of a failing room is shown', async () => {
    const { database, store, numbers } = await openNewest();
    database.begin();
    await expect.poll(() => store.getSnapshot().error?.code).toBe('INTERNAL_SERVER_ERROR');
    const jumping = store.jumpTo(2);
    database.end();
    expect(await jumping).toBe(true);
    await expect.poll(() => store.getSnapshot().error).toBeNull();
    expect(numbers()).toEqual([1, 2, 3]);
  });

  test('a page and a jump that failed load with the next call', async () => {
    const { database, store, numbers } = await openNewest();
    database.begin();
    const failures = await Promise.allSettled([store.loadEarlier(), store.jumpTo(2)]);
    expect(failures.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    database.end();
    await expect.poll(() => store.getSnapshot().error).toBeNull();
    await store.loadEarlier();
    expect(numbers()).toEqual([4, 5]);
    expect(await store.jumpTo(2)).toBe(true);
    expect(numbers()).toEqual([1, 2, 3]);
  });
});
