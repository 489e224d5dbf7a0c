import { describe, expect, test } from 'vitest';
import type { ServerNode } from '../src/core/context.ts';
import { sql } from '../src/platform/database/database.ts';
import type { Person } from './support/client.ts';
import { ADD, BLOCK, createRoom, DELETE_ROOM, REMOVE } from './support/rooms.ts';
import { startTestServer, waitForPoll } from './support/server.ts';
import { send, world } from './support/world.ts';

// A snapshot shows a state that may have changed before the client receives it.

const ROOM = `subscription ($room: ID!) { chatroomEvents(chatroomId: $room, snapshot: true) {
  __typename ... on RoomSnapshot { reason chatroom { messages(last: 10) { nodes { body } } } }
} }`;
const APP = `subscription { events(snapshot: true) {
  __typename ... on AppSnapshot { viewer { chatrooms { nodes { id } } } } ... on ChatroomVanished { chatroomId why: reason }
} }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

/** Makes a change after the next snapshot has been read, and before its transaction ends. */
function changeAfterRead(node: ServerNode, change: () => Promise<unknown>): void {
  const { readConsistently } = node;
  node.readConsistently = (context, read) => {
    node.readConsistently = readConsistently;
    return readConsistently(context, async (own) => {
      const result = await read(own);
      await change();
      return result;
    });
  };
}

describe('a change after a snapshot was read', () => {
  test.each([
    ['a removal', (ann: Person, ben: Person, room: string) => ann.ask(REMOVE, { id: room, user: ben.id })],
    ['the deletion of the room', (ann: Person, _: Person, room: string) => ann.ask(DELETE_ROOM, { id: room })],
  ])('ends the stream: %s', async (_name, change) => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    changeAfterRead(server.node, () => change(ann, ben, room));
    const stream = ben.connect().subscribe(ROOM, { room });
    expect(await stream.next()).toMatchObject({ __typename: 'RoomSnapshot' });
    expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
    expect(stream.received).toHaveLength(1);
    await expect.poll(() => server.node.roomTails.size()).toBe(0);
  });

  test.each([
    ['a removal', 'REMOVED', (ann: Person, ben: Person, room: string) => ann.ask(REMOVE, { id: room, user: ben.id })],
    ['the deletion of the room', 'DELETED', (ann: Person, _: Person, id: string) => ann.ask(DELETE_ROOM, { id })],
  ])('is an event of the stream over all rooms: %s', async (_name, why, change) => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    changeAfterRead(server.node, async () => {
      await change(ann, ben, room);
      await waitForPoll(server);
    });
    const stream = ben.connect().subscribe(APP);
    expect((await stream.next()).viewer.chatrooms.nodes).toEqual([{ id: room }]);
    expect(await stream.next()).toMatchObject({ __typename: 'ChatroomVanished', chatroomId: room, why });
    const other = await createRoom(ann, { kind: 'GROUP', memberIds: [] });
    await ann.ask(ADD, { id: other, users: [ben.id] });
    expect(await stream.next()).toMatchObject({ __typename: 'ChatroomAppeared' });
  });

  test('is followed by another snapshot: a block', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'hidden');
    changeAfterRead(server.node, () => ben.ask(BLOCK, { id: ann.id }));
    const stream = ben.connect().subscribe(ROOM, { room });
    expect((await stream.next()).chatroom.messages.nodes).toEqual([{ body: 'hidden' }]);
    expect(await stream.next()).toMatchObject({ reason: 'RESYNC', chatroom: { messages: { nodes: [] } } });
  });
});

test('no transaction of a snapshot waits for its client', async () => {
  const server = await startTestServer();
  const { ben, room } = await world(server);
  const connection = ben.connect();
  const streams = Array.from({ length: 20 }, () => connection.subscribe(ROOM, { room }));
  await streams[0]?.next();
  const open = () =>
    server.node.database.query(sql`
      SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`);
  await expect.poll(open).toEqual([]);
  connection.cut();
  await expect.poll(() => [server.node.gauges.streams, server.node.roomTails.size()]).toEqual([0, 0]);
});
