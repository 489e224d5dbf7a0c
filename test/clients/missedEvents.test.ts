import { describe, expect, test } from 'vitest';
import { createRoom } from '../../client/react/room.ts';
import { createRooms } from '../../client/react/rooms.ts';
import { documentsOf } from '../../client/react/documents.ts';
import { createPresence } from '../../client/react/usePresence.ts';
import { createReadMarks } from '../../client/react/useReadMarks.ts';
import type { Message, Room, User } from '../../client/react/types.ts';
import { ADD, BLOCK, createRoom as addRoom, FRIEND, MARK_READ } from '../support/rooms.ts';
import { startTestServer } from '../support/server.ts';
import { send, world } from '../support/world.ts';
import { failingSockets } from './failingSockets.ts';
import { heldSockets } from './heldSockets.ts';
import { CHATS, documents, show } from './stores.ts';

const UNBLOCK = 'mutation ($id: ID!) { unblockUser(input: { userId: $id }) { user { id } } }';

describe.each(CHATS)('blocks over %s', (_name, openChat) => {
  test('a room loads again after blocks that its streams have missed', async () => {
    const { ann, ben, eve } = await world(await startTestServer());
    const room = await addRoom(eve, { kind: 'GROUP', name: 'Of three', memberIds: [ann.id, ben.id] });
    await send(ben, room, 'an insult');
    await send(eve, room, 'a greeting');
    await ann.ask(BLOCK, { id: eve.id });
    const sockets = failingSockets();
    const store = createRoom(openChat(ann, { webSocketImpl: sockets.webSocketImpl }), documents, room, 20);
    const bodies = () => store.getSnapshot().messages.map(({ body }) => body);
    show(store);
    await expect.poll(bodies).toEqual(['an insult']);
    sockets.fail('', { message: 'Too many requests.', extensions: { code: 'RATE_LIMITED' } });
    await ann.ask(BLOCK, { id: ben.id });
    await ann.ask(UNBLOCK, { id: eve.id });
    sockets.recover();
    await expect.poll(bodies).toEqual(['a greeting']);
  });

  test.each(['list', 'list while it loads', 'read marks'])(
    'a block before the stream of the viewer opens hides messages beside a %s',
    async (other) => {
      const { ann, ben, room } = await world(await startTestServer());
      await send(ann, room, 'hello');
      await send(ben, room, 'an insult');
      const { webSocketImpl, release } = heldSockets('ParleyViewerEvents');
      let blocked: () => void = () => undefined;
      const block = new Promise<void>((resolve) => (blocked = resolve));
      const chat = openChat(ann, {
        webSocketImpl,
        async fetch(input, init) {
          if (other.includes('loads') && (init?.body as string).includes('query ParleyRooms(')) await block;
          return fetch(input, init);
        },
      });
      const store = createRoom(chat, documents, room, 20);
      const marks = createReadMarks(chat, documents, room);
      const rooms = createRooms(chat, documents);
      if (other === 'read marks') show(marks);
      if (other === 'list while it loads') show(rooms);
      show(store);
      await expect.poll(() => store.getSnapshot().messages).toHaveLength(2);
      if (other === 'read marks') await expect.poll(() => marks.getSnapshot().marks).toHaveLength(1);
      await ann.ask(BLOCK, { id: ben.id });
      blocked();
      if (other === 'list') show(rooms);
      if (other !== 'read marks') await expect.poll(() => rooms.getSnapshot().loading).toBe(false);
      release();
      await expect.poll(() => store.getSnapshot().messages.map(({ body }) => body)).toEqual(['hello']);
      if (other === 'read marks') await expect.poll(() => marks.getSnapshot().marks).toHaveLength(0);
    },
  );

  test('changes before the socket opens reach all stores', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await ann.ask(FRIEND, { id: ben.id });
    const { id: own } = await send(ann, room, 'question');
    const other = await addRoom(ann, { kind: 'GROUP', name: 'Other', memberIds: [ben.id] });
    const { id: unread } = await send(ben, other, 'unread');
    const { webSocketImpl, release } = heldSockets('connection_init');
    const chat = openChat(ann, { webSocketImpl });
    const store = createRoom(chat, documents, room, 20);
    const rooms = createRooms(chat, documents);
    const marks = createReadMarks(chat, documents, room);
    const friends = createPresence(chat, documents);
    for (const each of [store, rooms, marks, friends]) show(each);
    const state = () => [
      rooms.getSnapshot().unreadCount,
      store.getSnapshot().messages[0]?.seenByAll,
      marks.getSnapshot().marks[0]?.lastReadNumber,
      friends.getSnapshot().friends[0]?.presence?.status,
    ];
    // The room opens with the socket.
    await expect.poll(state).toEqual([1, undefined, 0, 'OFFLINE']);
    await ann.ask(MARK_READ, { id: unread });
    await ben.ask(MARK_READ, { id: own });
    await ben.connect().subscribe('subscription { presenceChanged { user { id } } }', {}).ready();
    release();
    await expect.poll(state).toEqual([0, true, 1, 'ONLINE']);
  });

  test('a room and its read marks open for a member added while they load', async () => {
    const { ann, ben } = await world(await startTestServer());
    const room = await addRoom(ben, { kind: 'GROUP', name: 'Of one', memberIds: [] });
    await send(ben, room, 'hello');
    let added: Promise<unknown> | undefined;
    const chat = openChat(ann, {
      async fetch(input, init) {
        const answer = await fetch(input, init);
        if ((init?.body as string).includes('ParleyReadMarks'))
          await (added ??= ben.ask(ADD, { id: room, users: [ann.id] }));
        return answer;
      },
    });
    const store = createRoom(chat, documents, room, 20);
    const marks = createReadMarks(chat, documents, room);
    for (const each of [store, marks]) show(each);
    const state = () => [
      store.getSnapshot().error?.code,
      store.getSnapshot().messages[0]?.body,
      marks.getSnapshot().error?.code,
      marks.getSnapshot().marks.length,
    ];
    await expect.poll(state).toEqual([undefined, 'hello', undefined, 1]);
  });

  test('friends follow blocks and new friendships', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    await ann.ask(FRIEND, { id: ben.id });
    const store = createPresence(openChat(ann), documents);
    const names = () => store.getSnapshot().friends.map(({ username }) => username);
    show(store);
    await expect.poll(names).toEqual(['ben']);
    // No event reports a friendship from before the stream of the viewer's events.
    await expect.poll(() => server.node.gauges.streams).toBe(2);
    await ann.ask(FRIEND, { id: eve.id });
    await expect.poll(() => names().toSorted()).toEqual(['ben', 'eve']);
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(names).toEqual(['eve']);
  });

  test('a list takes over from one that is hidden before an event arrives', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ann, room, 'hello');
    await send(ben, room, 'an insult');
    const sockets = failingSockets();
    const chat = openChat(ann, { webSocketImpl: sockets.webSocketImpl });
    const [first, second] = ['first', 'second'].map((name) =>
      createRooms(chat, documentsOf<Message, Room, User>({ room: `fragment Only on Chatroom { ${name}: title }` })),
    );
    const store = createRoom(chat, documents, room, 20);
    const hide = show(first!);
    await expect.poll(() => first!.getSnapshot().rooms).toHaveLength(1);
    for (const each of [second!, store]) show(each);
    await expect.poll(() => store.getSnapshot().messages).toHaveLength(2);
    const events: string[] = [];
    second!.onEvent(({ __typename }) => events.push(__typename));
    sockets.hold('first: title');
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(() => events).toContain('BlockChanged');
    hide();
    await expect.poll(() => store.getSnapshot().messages.map(({ body }) => body)).toEqual(['hello']);
  });

  test('a list takes over from one whose stream has failed', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await send(ann, room, 'hello');
    await send(ben, room, 'an insult');
    const sockets = failingSockets();
    const chat = openChat(ann, { webSocketImpl: sockets.webSocketImpl });
    const [failed, sound] = ['failed', 'sound'].map((name) =>
      createRooms(chat, documentsOf<Message, Room, User>({ room: `fragment Only on Chatroom { ${name}: title }` })),
    );
    const store = createRoom(chat, documents, room, 20);
    for (const each of [failed!, sound!, store]) show(each);
    await expect.poll(() => store.getSnapshot().messages).toHaveLength(2);
    await expect.poll(() => sound!.getSnapshot().rooms).toHaveLength(1);
    sockets.fail('failed: title', { message: 'It is forbidden.', extensions: { code: 'FORBIDDEN' } });
    await expect.poll(() => failed!.getSnapshot().error?.code).toBe('FORBIDDEN');
    await ann.ask(BLOCK, { id: ben.id });
    await expect.poll(() => store.getSnapshot().messages.map(({ body }) => body)).toEqual(['hello']);
  });
});
