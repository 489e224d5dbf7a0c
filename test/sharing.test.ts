import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { observeViewer } from '../src/context.ts';
import { createLoader } from '../src/loader.ts';
import { createContext } from '../src/node.ts';
import { createSharing } from '../src/realtime/sharing.ts';
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

describe('sharing of executions', () => {
  test('a database that is slow is not asked again by those who come later', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const sharing = createSharing({ on: true });
    const event = {};
    let loads = 0;
    let answer: (text: string) => void = () => undefined;
    const ask = () =>
      sharing.once(event, 'message', () => {
        loads += 1;
        return new Promise<string>((resolve) => (answer = resolve));
      });
    const first = ask();
    vi.advanceTimersByTime(3_000);
    const second = ask();
    answer('hello');
    expect(await Promise.all([first, second])).toEqual(['hello', 'hello']);
    vi.advanceTimersByTime(2_900);
    expect(await ask()).toBe('hello');
    vi.advanceTimersByTime(200);
    const anew = ask();
    answer('hello again');
    expect(await anew).toBe('hello again');
    expect(loads).toBe(2);
  });

  test('an event costs the same number of statements however many listen, and all are told the same', async () => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
    const { ann, ben, room } = await world(server);
    const cost = async (count: number) => {
      const streams = Array.from({ length: count }, (_, i) =>
        (i % 2 ? ann : ben).connect().subscribe(USUAL, { room, after: undefined }),
      );
      for (const stream of streams) await stream.taken();
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

  test('what was missed is read with one statement, however much it is', async () => {
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

  test.each(['on', 'off'])('with sharing %s, what depends on the viewer is each one’s own', async (shared) => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: shared } });
    const { ann, ben, eve, room } = await world(server);
    const cem = await signUp(server.url, 'cem');
    await ann.ask(ADD, { id: room, users: [eve.id, cem.id] });
    await ben.ask(FRIEND, { id: ann.id });
    const streams = [ben, eve, cem].map((person) => person.connect().subscribe(PERSONAL, { room }));
    for (const stream of streams) await stream.taken();
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
    // Eve has written the first herself.
    expect(seen.map(([, event]) => event.chatroom.unreadCount)).toEqual([2, 1, 2]);
  });

  test.each(['on', 'off'])(
    'with sharing %s, variables below the root are each one’s own, cursors to begin after are not asked',
    async (shared) => {
      const server = await startTestServer({ env: { SHARED_EXECUTION: shared } });
      const { ann, ben, room } = await world(server);
      const query = `subscription ($room: ID!, $after: String, $long: Boolean!) { messageAdded(chatroomId: $room, after: $after) {
      cursor message { body ...more @include(if: $long) } } } fragment more on Message { number sender { username } }`;
      const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room });
      const long = ben.connect().subscribe(query, { room, long: true });
      const short = ben.connect().subscribe(query, { room, long: false, after: chatroom.cursor });
      for (const stream of [long, short]) await stream.taken();
      await send(ann, room, 'hello');
      const message = { body: 'hello', number: 1, sender: { username: 'ann' } };
      expect((await long.next()).message).toEqual(message);
      expect((await short.next()).message).toEqual({ body: 'hello' });
    },
  );

  test('who asks for what they may not see fails alone', async () => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
    const { ann, ben, room } = await world(server);
    const streams = [ann, ben].map((person) => person.connect().subscribe(USUAL, { room }));
    for (const stream of streams) await stream.taken();
    await ben.ask('mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }', { id: room });
    await send(ann, room, 'not for ben');
    expect(await streams[1]?.ended).toMatchObject([{ extensions: { code: 'NOT_FOUND' } }]);
    expect((await streams[0]?.take(2))?.map((event) => event.message.body)).toEqual([null, 'not for ben']);
    expect(streams[1]?.received.map((event) => event.message.body)).not.toContain('not for ben');
  });

  test('the variables of ended subscriptions are released', async () => {
    const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
    const { ann } = await world(server);
    const { sharing } = server.node;
    const query = `subscription ($text: String!) { messageAdded { message { chatroom {
      searchMessages(query: $text) { nodes { id } } } } } }`;
    const connection = ann.connect();
    const kept = connection.subscribe(query, { text: 'kept' });
    await kept.taken();
    for (let i = 0; i < 20; i += 1) {
      const stream = connection.subscribe(query, { text: `${i} ${'x'.repeat(16_000)}` });
      await stream.taken();
      expect(sharing.size()).toBe(2);
      stream.stop();
      await expect.poll(() => sharing.size()).toBe(1);
    }
    const twin = connection.subscribe(query, { text: 'kept' });
    await twin.taken();
    expect(sharing.size()).toBe(1);
    kept.stop();
    await kept.ended;
    await expect.poll(() => server.node.open.streams).toBe(1);
    expect(sharing.size()).toBe(1);
    twin.stop();
    await expect.poll(() => sharing.size()).toBe(0);
  });

  test('a loader first used without the viewer still notes a later read of the viewer', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const viewerName = createLoader(
      (context, keys) => Promise.resolve(keys.map((key) => ({ key, viewerId: context.viewer?.userId }))),
      ({ key }) => key,
    );
    const context = await createContext(server.node, { authorization: `Bearer ${ann.accessToken}` });
    const { context: observed, wasPersonal } = observeViewer(context);
    const { viewerId } = (await viewerName(observed.impersonally?.context ?? context, 'a')) ?? {};
    expect(wasPersonal()).toBe(false);
    expect((await viewerName(observed, 'a'))?.viewerId).toBe(viewerId);
    expect(wasPersonal()).toBe(true);
  });
});
