import { describe, expect, test } from 'vitest';
import { connect, request } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createTestDatabase, startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

const SET = `mutation ($id: ID!, $typing: Boolean!) { setTyping(input: { chatroomId: $id, typing: $typing }) { ok } }`;
const CHANGED = `subscription ($id: ID!) { typingChanged(chatroomId: $id) { chatroom { id } user { username } typing } }`;
const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
const LEAVE = `mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

describe('typing', () => {
  test('reaches the other members once per change, not the sender', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const [forAnn, forBen] = [ann, ben].map((person) => person.connect().subscribe(CHANGED, { id: room }));
    await forBen?.ready();
    for (const typing of [true, false, true]) {
      await ann.ask(SET, { id: room, typing });
      await ann.ask(SET, { id: room, typing });
      expect(await forBen?.next()).toEqual({ chatroom: { id: room }, user: { username: 'ann' }, typing });
    }
    await ben.ask(SET, { id: room, typing: true });
    expect(await forAnn?.next()).toMatchObject({ user: { username: 'ben' }, typing: true });
  });

  test('expires after ten seconds unless it is repeated', { timeout: 40_000 }, async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const stream = ben.connect().subscribe(CHANGED, { id: room });
    await stream.ready();
    const began = performance.now();
    await ann.ask(SET, { id: room, typing: true });
    expect(await stream.next()).toMatchObject({ typing: true });
    expect(await stream.next()).toMatchObject({ typing: false });
    expect(performance.now() - began).toBeGreaterThan(9_000);
  });

  test('is hidden across a block, in either direction', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    await ann.ask(ADD, { id: room, users: [eve.id] });
    const streams = [ann, ben].map((person) => person.connect().subscribe(CHANGED, { id: room }));
    for (const stream of streams) await stream.ready();
    await ann.ask(BLOCK, { id: ben.id });
    await ann.ask(SET, { id: room, typing: true });
    await ben.ask(SET, { id: room, typing: true });
    await eve.ask(SET, { id: room, typing: true });
    for (const stream of streams) expect(await stream.next()).toMatchObject({ user: { username: 'eve' } });
  });

  test('ends with NOT_FOUND for a removed member', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const stream = ben.connect().subscribe(CHANGED, { id: room });
    await stream.ready();
    await ann.ask(REMOVE, { id: room, user: ben.id });
    expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
    for (const person of [ben, eve]) {
      expect(await person.askForErrorCode(SET, { id: room, typing: true })).toBe('NOT_FOUND');
      expect(codeOf(await person.connect().subscribe(CHANGED, { id: room }).ended)).toBe('NOT_FOUND');
    }
    expect(codeOf((await request(server.url, SET, { id: room, typing: true })).errors)).toBe('UNAUTHENTICATED');
    expect(codeOf(await connect(server.url).subscribe(CHANGED, { id: room }).ended)).toBe('UNAUTHENTICATED');
    await expect.poll(() => server.node.roomTails.size()).toBe(0);
  });

  test('includes the end for a blocked user and a former member', { timeout: 40_000 }, async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    await ann.ask(ADD, { id: room, users: [eve.id] });
    const stream = ann.connect().subscribe(CHANGED, { id: room });
    await stream.ready();
    for (const person of [ben, eve]) {
      await person.ask(SET, { id: room, typing: true });
      expect(await stream.next()).toMatchObject({ user: { username: person.username }, typing: true });
    }
    await ann.ask(BLOCK, { id: ben.id });
    await eve.ask(LEAVE, { id: room });
    await ben.ask(SET, { id: room, typing: false });
    expect(await stream.next()).toMatchObject({ user: { username: 'ben' }, typing: false });
    await ben.ask(SET, { id: room, typing: true });
    // A member who has left cannot report the end, so the typing state expires.
    expect(await stream.next()).toMatchObject({ user: { username: 'eve' }, typing: false });
    expect(stream.received).toHaveLength(4);
  });

  test.skipIf(!hasRedis())('reaches other nodes with Redis (skipped without a redis-server)', async () => {
    const { url: redisUrl } = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl });
    const there = await startTestServer({ databaseUrl, redisUrl });
    const { ann, ben, room } = await world(here);
    const stream = ben.at(there.url).connect().subscribe(CHANGED, { id: room });
    await stream.ready();
    for (const typing of [true, false, true]) {
      await ann.ask(SET, { id: room, typing });
      expect((await stream.next()).typing).toBe(typing);
    }
  });
});
