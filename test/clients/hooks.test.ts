import { setTimeout as pass } from 'node:timers/promises';
import { parse } from 'graphql';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { documentsOf } from '../../client/react/documents.ts';
import { createRoom } from '../../client/react/room.ts';
import { createRooms } from '../../client/react/rooms.ts';
import { BLOCK, createRoom as addRoom, DELETE_MESSAGE, MARK_READ, REACT, SET_ROLE } from '../support/rooms.ts';
import type { Person } from '../support/client.ts';
import { attach, PNG } from '../support/files.ts';
import { startTestServer } from '../support/server.ts';
import { send, world } from '../support/world.ts';
import { failingSockets } from './failingSockets.ts';
import { heldSockets } from './heldSockets.ts';
import { CHATS, documents, show } from './stores.ts';

const TYPE = 'mutation ($id: ID!, $typing: Boolean!) { setTyping(input: { chatroomId: $id, typing: $typing }) { ok } }';
const REACT_SELECTING = `mutation ($id: ID!) {
  addReaction(input: { messageId: $id, emoji: "👍" }) {
    __typename message { __typename id reactions { __typename emoji count viewerHasReacted } }
  }
}`;
const READ = 'query ($id: ID!) { chatroom(id: $id) { unreadCount viewerMembership { lastReadNumber } } }';

/** Returns the number of unread messages, and of the last message that the person has read. */
async function readState(person: Person, id: string): Promise<[unread: number, lastRead: number]> {
  const { chatroom } = await person.ask(READ, { id });
  return [chatroom.unreadCount, chatroom.viewerMembership.lastReadNumber];
}

/** Creates a `fetch` that first calls `before` with the request's body. */
const fetchAfter =
  (before: (body: string) => unknown): typeof fetch =>
  async (input, init) => {
    const answer = await before(init?.body as string);
    return answer instanceof Response ? answer : fetch(input, init);
  };

const networkError = () => Promise.reject(new TypeError('The network was lost.'));

describe.each(CHATS)('the stores of the hooks over %s', (_name, openChat) => {
  test('a lost read mark is sent again', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const { number } = await send(ben, room, 'seen');
    let requests = 0;
    const chat = openChat(ann, {
      fetch: fetchAfter(async (body) => {
        if (!body.includes('ParleyMarkRead') || (requests += 1) > 1) return undefined;
        // The loss is noticed after the time of the next mark.
        await pass(1_100);
        return networkError();
      }),
    });
    const store = createRoom(chat, documents, room, 20);
    show(store);
    await expect.poll(() => store.getSnapshot().messages).toHaveLength(1);
    store.markRead(store.getSnapshot().messages[0]!);
    await expect.poll(() => readState(ann, room)).toEqual([0, number]);
    expect(requests).toBe(2);
  });

  test('an uploaded picture is pending, then processed, then ready', async () => {
    const { node, ...server } = await startTestServer();
    const { ann, ben, room } = await world(server);
    const process = node.images.processImage.bind(node.images);
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    node.images.processImage = async (image) => released.then(() => process(image));
    const [anns, bens] = [openChat(ann), openChat(ben)].map((chat) => createRoom(chat, documents, room, 20));
    if (!anns || !bens) throw new Error('There are no rooms.');
    show(anns);
    show(bens);
    const { id } = await attach(ann, PNG);
    anns.send('', { attachmentIds: [id] });
    expect(anns.getSnapshot().pending).toMatchObject([{ body: '', attachmentIds: [id] }]);
    const files = (store: typeof anns) => store.getSnapshot().messages.at(-1)?.attachments;
    await expect.poll(() => files(bens)).toMatchObject([{ id, state: 'PROCESSING', image: null }]);
    release();
    for (const store of [anns, bens])
      await expect.poll(() => files(store)).toMatchObject([{ id, state: 'READY', image: { width: 1, height: 1 } }]);
  });

  test('a failed markUnread changes nothing', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    for (const body of ['one', 'two']) await send(ben, room, body);
    let down = false;
    const chat = openChat(ann, {
      fetch: fetchAfter((body) => (down && body.includes('ParleyMarkUnread') ? networkError() : undefined)),
    });
    const store = createRoom(chat, documents, room, 20);
    const newest = () => store.getSnapshot().messages.at(-1)!;
    show(store);
    await expect.poll(() => store.getSnapshot().messages).toHaveLength(2);
    store.markRead(newest());
    await expect.poll(() => readState(ann, room)).toEqual([0, 2]);
    const { readUpTo } = store.getSnapshot();
    down = true;
    await expect(store.markUnread(newest())).rejects.toThrow();
    expect(store.getSnapshot().readUpTo).toBe(readUpTo);
    await send(ben, room, 'three');
    await expect.poll(() => newest().body).toBe('three');
    store.markRead(newest());
    await expect.poll(() => readState(ann, room)).toEqual([0, 3]);
  });

  test('markUnread shows the mark that the server has', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    for (const body of ['one', 'two', 'three', 'four']) await send(ben, room, body);
    const store = createRoom(openChat(ann), documents, room, 20);
    show(store);
    await expect.poll(() => store.getSnapshot().messages).toHaveLength(4);
    const [, two, , four] = store.getSnapshot().messages;
    store.markRead(four!);
    await store.markUnread(two!);
    expect(store.getSnapshot().readUpTo).toBe(1);
    // Four is unread already.
    await store.markUnread(four!);
    expect([store.getSnapshot().readUpTo, ...(await readState(ann, room))]).toEqual([1, 3, 1]);
  });

  test('a waiting read mark is sent when the room is left', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ben, room, 'one');
    const store = createRoom(openChat(ann), documents, room, 20);
    const hide = show(store);
    const newest = () => store.getSnapshot().messages.at(-1)!;
    await expect.poll(() => newest()?.body).toBe('one');
    store.markRead(newest());
    await send(ben, room, 'two');
    await expect.poll(() => newest().body).toBe('two');
    store.markRead(newest());
    hide();
    await expect.poll(() => readState(ann, room)).toEqual([0, 2]);
  });

  test('markUnread pauses the marks of all components of the room', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    for (const body of ['one', 'two']) await send(ben, room, body);
    let requests = 0;
    const chat = openChat(ann, {
      fetch: fetchAfter((body) => {
        if (body.includes('ParleyMarkRead')) requests += 1;
      }),
    });
    const stores = [createRoom(chat, documents, room, 20), createRoom(chat, documents, room, 30)];
    const newest = () => stores.map((store) => store.getSnapshot().messages.at(-1)?.body);
    const markAll = () => {
      for (const store of stores) store.markRead(store.getSnapshot().messages.at(-1)!);
    };
    for (const store of stores) show(store);
    await expect.poll(newest).toEqual(['two', 'two']);
    markAll();
    await expect.poll(() => readState(ann, room)).toEqual([0, 2]);
    await stores[0]!.markUnread(stores[0]!.getSnapshot().messages[1]!);
    await send(ben, room, 'three');
    await expect.poll(newest).toEqual(['three', 'three']);
    markAll();
    // Requests are sent in order.
    await chat.client.execute(READ, { id: room });
    expect([requests, ...(await readState(ann, room))]).toEqual([1, 2, 1]);
  });

  test('a message that is discarded while it is sent disappears at once', async () => {
    const { ann, room } = await world(await startTestServer());
    const chat = openChat(ann, { webSocketImpl: heldSockets('regretted').webSocketImpl });
    const store = createRoom(chat, documents, room, 20);
    const states = () => store.getSnapshot().pending.map(({ state }) => state);
    show(store);
    await expect.poll(() => [store.getSnapshot().loading, chat.client.state]).toEqual([false, 'live']);
    store.send('regretted');
    await expect.poll(states).toEqual(['sending']);
    chat.client.outbox.discard(store.getSnapshot().pending[0]!.clientMessageId);
    expect(states()).toEqual([]);
  });

  test('a sent message stays on the screen until its event arrives', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ben, room, 'hello');
    const sockets = failingSockets();
    const store = createRoom(openChat(ann, { webSocketImpl: sockets.webSocketImpl }), documents, room, 20);
    const bodies = (key: 'messages' | 'pending') => store.getSnapshot()[key].map(({ body }) => body);
    show(store);
    await expect.poll(() => bodies('messages')).toEqual(['hello']);
    sockets.hold('ParleyRoomEvents');
    store.send('mine');
    await expect.poll(sockets.held).toBe(1);
    await expect.poll(() => readState(ann, room)).toEqual([0, 2]);
    expect(bodies('pending')).toEqual(['mine']);
    sockets.release();
    await expect.poll(() => bodies('messages')).toEqual(['hello', 'mine']);
    expect(bodies('pending')).toEqual([]);
  });

  test('all messages that others read at once are seen by all', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const store = createRoom(openChat(ann), documents, room, 20);
    const seen = () => store.getSnapshot().messages.map(({ seenByAll }) => seenByAll);
    show(store);
    for (const body of ['one', 'two', 'three']) await send(ann, room, body);
    await expect.poll(seen).toEqual([false, false, false]);
    await ben.ask(MARK_READ, { id: store.getSnapshot().messages[2]!.id });
    await expect.poll(seen).toEqual([true, true, true]);
  });

  test('a mutation whose response is late overwrites no later event', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const { id } = await send(ben, room, 'hello');
    let release: (() => void) | null = null;
    const chat = openChat(ann, {
      async fetch(input, init) {
        const answer = await fetch(input, init);
        if ((init?.body as string).includes('addReaction')) await new Promise<void>((resolve) => (release = resolve));
        return answer;
      },
    });
    const store = createRoom(chat, documents, room, 20);
    const reactions = () => store.getSnapshot().messages[0]?.reactions.map(({ count }) => count);
    show(store);
    await expect.poll(reactions).toEqual([]);
    const reacting = chat.cache.mutate(parse(REACT_SELECTING), { id });
    await expect.poll(() => release).not.toBeNull();
    await ben.ask(REACT, { id });
    await expect.poll(reactions).toEqual([2]);
    release!();
    await reacting;
    await send(ben, room, 'later');
    await expect.poll(() => store.getSnapshot().messages).toHaveLength(2);
    expect(reactions()).toEqual([2]);
  });

  test('a role that changes is shown at once', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const chat = openChat(ben);
    const selection = 'fragment Own on Chatroom { viewerMembership { id role } }';
    const store = createRoom(chat, documentsOf<any, any, any>({ room: selection }), room, 20);
    const role = () => store.getSnapshot().room?.viewerMembership.role;
    show(store);
    await expect.poll(role).toBe('MEMBER');
    await ann.ask(SET_ROLE, { id: room, user: ben.id, role: 'ADMIN' });
    await expect.poll(role).toBe('ADMIN');
  });

  test('typing that ends while the room reopens disappears', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const sockets = failingSockets();
    const { webSocketImpl } = sockets;
    const store = createRoom(openChat(ann, { webSocketImpl }), documents, room, 20);
    const state = () => [store.getSnapshot().typing.length, store.getSnapshot().error?.code];
    show(store);
    await expect.poll(() => server.node.gauges.streams).toBe(4);
    await ben.ask(TYPE, { id: room, typing: true });
    await expect.poll(state).toEqual([1, undefined]);
    sockets.fail('ParleyRoomEvents', { message: 'It failed.', extensions: { code: 'INTERNAL_SERVER_ERROR' } });
    await expect.poll(() => store.getSnapshot().error?.code).toBe('INTERNAL_SERVER_ERROR');
    await ben.ask(TYPE, { id: room, typing: false });
    sockets.recover();
    await expect.poll(state).toEqual([0, undefined]);
  });

  test('a room left while it loads is loaded again by the next visit', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const { id } = await send(ben, room, 'read');
    const answers: Promise<unknown>[] = [];
    const chat = openChat(ann, {
      async fetch(...args) {
        const answer = fetch(...args);
        answers.push(answer);
        return answer;
      },
    });
    const store = createRoom(chat, documents, room, 2);
    show(store)();
    await pass(0);
    // The room cancels its query.
    await Promise.allSettled(answers);
    await ann.ask(MARK_READ, { id });
    for (const body of ['later', 'newer', 'newest']) await send(ben, room, body);
    show(store);
    await expect.poll(() => store.getSnapshot().messages.map(({ number }) => number)).toEqual([3, 4]);
    expect(store.getSnapshot()).toMatchObject({ loading: false, readUpTo: 1, hasEarlier: true });
  });

  test('jumpTo shows a message with the largest page size', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await Promise.all(Array.from({ length: 160 }, (_, i) => send(i % 2 ? ann : ben, room, String(i))));
    const store = createRoom(openChat(ann), documents, room, 100);
    show(store);
    await expect.poll(() => store.getSnapshot().messages).toHaveLength(100);
    expect(await store.jumpTo(55)).toBe(true);
    expect(store.getSnapshot().messages.map(({ number }) => number)).toContain(55);
    await store.loadLater();
    const numbers = store.getSnapshot().messages.map(({ number }) => number);
    expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i));
  });

  test('the list of rooms stays up to date and complete while it reloads', async () => {
    const { ann, ben } = await world(await startTestServer());
    const add = (name: string) => addRoom(ben, { kind: 'GROUP', name, memberIds: [ann.id] });
    for (let i = 1; i <= 50; i += 1) await add(String(i));
    let limited = 0;
    const refusal = { message: 'Too many.', extensions: { code: 'RATE_LIMITED', retryAfterMs: 600_000 } };
    let full = false;
    const chat = openChat(ann, {
      fetch: fetchAfter((body) => {
        if (!full || !body.includes('ParleyRooms') || !body.includes('"after"')) return undefined;
        limited += 1;
        return Response.json({ data: null, errors: [refusal] });
      }),
    });
    const store = createRooms(chat, documents);
    const bodyOf = (id: string) => store.getSnapshot().rooms.find((each) => each.id === id)?.lastMessage?.body;
    show(store);
    await expect.poll(() => store.getSnapshot().rooms).toHaveLength(50);
    await store.loadMore();
    await expect.poll(() => store.getSnapshot().rooms).toHaveLength(51);
    full = true;
    const added = [await add('new')];
    await expect.poll(() => limited).toBe(1);
    added.push(await add('newer'));
    await expect.poll(() => store.getSnapshot().rooms).toHaveLength(53);
    for (const id of added) await send(ben, id, 'while it reloads');
    await expect.poll(() => added.map(bodyOf)).toEqual(['while it reloads', 'while it reloads']);
    expect(store.getSnapshot().rooms).toHaveLength(53);
  });

  test('the list of rooms shows a message whose unread count was missed', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ben, room, 'first');
    const sockets = failingSockets();
    const chat = openChat(ann, { webSocketImpl: sockets.webSocketImpl });
    const store = createRooms(chat, documents);
    const preview = () =>
      store.getSnapshot().rooms.map(({ lastMessage, unreadCount }) => [lastMessage?.body, unreadCount]);
    show(store);
    await expect.poll(() => chat.client.state).toBe('live');
    await expect.poll(preview).toEqual([['first', 1]]);
    sockets.hold('ParleyViewerEvents');
    await send(ben, room, 'second');
    await expect.poll(preview).toEqual([['second', 2]]);
  });

  test('the list of rooms shows an edit when the page becomes visible', async () => {
    const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    vi.stubGlobal('document', page);
    onTestFinished(() => {
      vi.unstubAllGlobals();
    });
    const { ann, ben, room } = await world(await startTestServer());
    const { id } = await send(ben, room, 'a mistake');
    const store = createRooms(openChat(ann), documents);
    const preview = () => store.getSnapshot().rooms[0]?.lastMessage?.body;
    show(store);
    await expect.poll(preview).toBe('a mistake');
    await ben.ask('mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "edited" }) { message { id } } }', {
      id,
    });
    page.dispatchEvent(new Event('visibilitychange'));
    await expect.poll(preview).toBe('edited');
  });

  test('the list of rooms forgets texts that were deleted or blocked', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const other = await addRoom(eve, { kind: 'GROUP', name: 'Other', memberIds: [ann.id, ben.id] });
    const { id } = await send(ben, room, 'a mistake');
    await send(eve, other, 'a greeting');
    await send(ben, other, 'an insult');
    const store = createRooms(openChat(ann), documents);
    const bodies = () => store.getSnapshot().rooms.map(({ lastMessage }) => lastMessage?.body ?? null);
    show(store);
    await expect.poll(bodies).toEqual(['an insult', 'a mistake']);
    // Changed counts are not replayed.
    await expect.poll(() => server.node.gauges.streams).toBe(2);
    await ben.ask(DELETE_MESSAGE, { id });
    await expect.poll(bodies).toEqual(['an insult', null]);
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(bodies).toContain('a greeting');
  });
});
