import { describe, expect, test } from 'vitest';
import { startTestServer } from './support/server.ts';
import { MESSAGE_ADDED, send, world } from './support/world.ts';

describe('messageAdded', () => {
  test('a member receives what another sends, and who drops the socket resumes with exactly what was missed', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const first = ben.connect();
    const live = first.subscribe(MESSAGE_ADDED, { room, after: (await ben.ask(`query ($id: ID!) { chatroom(id: $id) { cursor } }`, { id: room })).chatroom.cursor });
    await send(ann, room, 'one');
    const { cursor, message } = await live.next();
    expect(message).toMatchObject({ number: 1, body: 'one', sender: { username: 'ann' } });

    first.cut();
    for (const body of ['two', 'three', 'four']) await send(ann, room, body);
    const resumed = ben.connect().subscribe(MESSAGE_ADDED, { room, after: cursor });
    expect((await resumed.take(3)).map((event) => event.message.body)).toEqual(['two', 'three', 'four']);
    await send(ann, room, 'five');
    expect((await resumed.next()).message.body).toBe('five');
    expect(resumed.received).toHaveLength(4);
  });
});
