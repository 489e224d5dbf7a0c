import { describe, expect, test } from 'vitest';
import { eventContext, trackViewer } from '../src/core/context.ts';
import { createViewerLoader } from '../src/platform/database/loader.ts';
import { createContext } from '../src/graphql/operation.ts';
import { signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const USUAL = `subscription ($room: ID!, $after: String) { messageAdded(chatroomId: $room, after: $after) {
  cursor chatroom { id name kind } message { id number body createdAt sender { id username nickname } } } }`;
const PERSONAL = `subscription ($room: ID!) { messageAdded(chatroomId: $room) {
  chatroom { unreadCount opponent { username } viewerMembership { user { username } } }
  message { body sender { viewerIsFriend } reactions { viewerHasReacted } } } }`;
const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;

describe('shared execution', () => {
  test('takes a constant number of statements for any number of subscribers', async () => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
    const { ann, ben, room } = await world(server);
    const cost = async (count: number) => {
      const streams = Array.from({ length: count }, (_, i) =>
        (i % 2 ? ann : ben).connect().subscribe(USUAL, { room, after: undefined }),
      );
      for (const stream of streams) await stream.ready();
      await send(ann, room, 'warm');
      await Promise.all(streams.map((stream) => stream.next()));
      server.statements();
      await send(ann, room, 'hello');
      const events = await Promise.all(streams.map((stream) => stream.next()));
      expect(new Set(events.map((event) => JSON.stringify(event))).size).toBe(1);
      const spent = server.statements().length;
      for (const stream of streams) stream.stop();
      await Promise.all(streams.map((stream) => stream.ended));
      return spent;
    };
    const one = await cost(1);
    expect(await cost(30)).toBe(one);
  });

  test('reads missed events with one statement, however many', async () => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
    const { ann, ben, room } = await world(server);
    const cost = async (count: number) => {
      const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room });
      for (let i = 0; i < count; i += 1) await send(i % 2 ? ann : ben, room, `${i}`);
      server.statements();
      const stream = ann.connect().subscribe(USUAL, { room, after: chatroom.cursor });
      const events = await stream.take(count);
      expect(events.map((event) => event.message.body)).toEqual(Array.from({ length: count }, (_, i) => `${i}`));
      const loads = server.statements().filter((text) => /(FROM|JOIN) (messages|users)\b/.test(text));
      stream.stop();
      await stream.ended;
      return loads.length;
    };
    expect(await cost(2)).toBe(1);
    expect(await cost(40)).toBe(1);
  });

  test.each(['on', 'off'])('keeps viewer-dependent results apart (SHARED_EXECUTION=%s)', async (shared) => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: shared } });
    const { ann, ben, eve, room } = await world(server);
    const cem = await signUp(server.url, 'cem');
    await ann.ask(ADD, { id: room, users: [eve.id, cem.id] });
    await ben.ask(FRIEND, { id: ann.id });
    const streams = [ben, eve, cem].map((person) => person.connect().subscribe(PERSONAL, { room }));
    for (const stream of streams) await stream.ready();
    await send(eve, room, 'first');
    await send(ann, room, 'second');
    const seen = await Promise.all(streams.map((stream) => stream.take(2)));
    expect(
      seen.map(([, event]) => [event.chatroom.viewerMembership.user.username, event.message.sender.viewerIsFriend]),
    ).toEqual([
      ['ben', true],
      ['eve', false],
      ['cem', false],
    ]);
    // Eve wrote the first message herself.
    expect(seen.map(([, event]) => event.chatroom.unreadCount)).toEqual([2, 1, 2]);
  });

  test.each(['on', 'off'])(
    'separates nested variables, but ignores start cursors (SHARED_EXECUTION=%s)',
    async (shared) => {
      const server = await startTestServer({ env: { SHARED_EXECUTION: shared } });
      const { ann, ben, room } = await world(server);
      const query = `subscription ($room: ID!, $after: String, $long: Boolean!) { messageAdded(chatroomId: $room, after: $after) {
      cursor message { body ...more @include(if: $long) } } } fragment more on Message { number sender { username } }`;
      const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room });
      const long = ben.connect().subscribe(query, { room, long: true });
      const short = ben.connect().subscribe(query, { room, long: false, after: chatroom.cursor });
      for (const stream of [long, short]) await stream.ready();
      await send(ann, room, 'hello');
      const message = { body: 'hello', number: 1, sender: { username: 'ann' } };
      expect((await long.next()).message).toEqual(message);
      expect((await short.next()).message).toEqual({ body: 'hello' });
    },
  );

  test('fails only for the subscriber without access', async () => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
    const { ann, ben, room } = await world(server);
    const streams = [ann, ben].map((person) => person.connect().subscribe(USUAL, { room }));
    for (const stream of streams) await stream.ready();
    await ben.ask('mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }', { id: room });
    await send(ann, room, 'not for ben');
    expect(await streams[1]?.ended).toMatchObject([{ extensions: { code: 'NOT_FOUND' } }]);
    expect((await streams[0]?.take(2))?.map((event) => event.message.body)).toEqual([null, 'not for ben']);
    expect(streams[1]?.received.map((event) => event.message.body)).not.toContain('not for ben');
  });

  test('releases the variables of ended subscriptions', async () => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
    const { ann } = await world(server);
    const { sharedExecution } = server.node;
    const query = `subscription ($text: String!) { messageAdded { message { chatroom {
      searchMessages(query: $text) { nodes { id } } } } } }`;
    const connection = ann.connect();
    const kept = connection.subscribe(query, { text: 'kept' });
    await kept.ready();
    for (let i = 0; i < 20; i += 1) {
      const stream = connection.subscribe(query, { text: `${i} ${'x'.repeat(16_000)}` });
      await stream.ready();
      expect(sharedExecution.size()).toBe(2);
      stream.stop();
      await expect.poll(() => sharedExecution.size()).toBe(1);
    }
    const twin = connection.subscribe(query, { text: 'kept' });
    await twin.ready();
    expect(sharedExecution.size()).toBe(1);
    kept.stop();
    await kept.ended;
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    expect(sharedExecution.size()).toBe(1);
    twin.stop();
    await expect.poll(() => sharedExecution.size()).toBe(0);
  });

  test('detects a viewer read after a value was loaded untracked', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const viewerName = createViewerLoader(
      (_, keys) => Promise.resolve(keys.map((key) => ({ viewerId: key.split(':')[0] ?? '', key: 'a' }))),
      ({ key }) => key,
    );
    const context = await createContext(server.node, { authorization: `Bearer ${ann.accessToken}` });
    const tracking = { viewerWasRead: false, personalFields: [], checks: [] };
    const tracked = trackViewer(context, tracking);
    const { viewerId } = (await viewerName(Object.assign(eventContext(context), { cache: tracked.cache }), 'a')) ?? {};
    expect(tracking.viewerWasRead).toBe(false);
    expect((await viewerName(tracked, 'a'))?.viewerId).toBe(viewerId);
    expect(tracking.viewerWasRead).toBe(true);
  });
});
