import { describe, expect, test } from 'vitest';
import { PASSWORD, request, signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

const of = (name: string, fields: string) => `mutation ($id: ID!) { ${name}(input: { userId: $id }) { ${fields} } }`;
const ADD = of('addFriend', 'status user { viewerIsFriend } viewer { friends { nodes { username } } }');
const ACCEPT = of('acceptFriend', 'status');
const DECLINE = of('declineFriend', 'user { id }');
const REMOVE = of('removeFriend', 'viewer { friends { nodes { username } } }');
const BLOCK = of('blockUser', 'user { viewerHasBlocked viewerIsFriend }');
const UNBLOCK = of('unblockUser', 'viewer { id }');
const PROFILE = `mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) { viewer { email emailVerified friendPolicy user { nickname bio } } } }`;
const MINE = `{ viewer { friends { nodes { username } } friendRequests { nodes { id from { username } to { username } } }
  asked: friendRequests(direction: OUTGOING) { nodes { to { username } } } } }`;

const approval = { input: { friendPolicy: 'APPROVAL' } };

describe('adding a friend', () => {
  test('creates one friendship at once under an OPEN policy', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? ann.ask(ADD, { id: ben.id }) : ben.ask(ADD, { id: ann.id }))),
    );
    expect(new Set(results.map(({ addFriend }) => addFriend.status))).toEqual(new Set(['ACCEPTED']));
    expect(results[1].addFriend).toMatchObject({
      user: { viewerIsFriend: true },
      viewer: { friends: { nodes: [{ username: 'ben' }] } },
    });
    for (const [person, friend] of [
      [ann, 'ben'],
      [ben, 'ann'],
    ] as const) {
      expect((await person.ask(MINE)).viewer.friends.nodes).toEqual([{ username: friend }]);
    }
    expect((await ann.ask(REMOVE, { id: ben.id })).removeFriend.viewer.friends.nodes).toEqual([]);
    expect((await ben.ask(MINE)).viewer.friends.nodes).toEqual([]);
    expect((await ann.ask(REMOVE, { id: ben.id })).removeFriend.viewer.friends.nodes).toEqual([]);
  });

  test('creates a request under APPROVAL, accepted by adding back', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    await ben.ask(PROFILE, approval);
    expect((await ann.ask(ADD, { id: ben.id })).addFriend.status).toBe('PENDING');
    expect((await ann.ask(ADD, { id: ben.id })).addFriend.status).toBe('PENDING');
    expect((await ann.ask(MINE)).viewer).toMatchObject({
      friends: { nodes: [] },
      asked: { nodes: [{ to: { username: 'ben' } }] },
    });
    const [{ id, from }] = (await ben.ask(MINE)).viewer.friendRequests.nodes;
    expect(from.username).toBe('ann');
    const NODE = 'query ($id: ID!) { node(id: $id) { __typename } }';
    expect((await ann.ask(NODE, { id })).node).toEqual({ __typename: 'FriendRequest' });
    expect((await eve.ask(NODE, { id })).node).toBeNull();
    expect((await ben.ask(ACCEPT, { id: ann.id })).acceptFriend.status).toBe('ACCEPTED');
    expect((await ann.ask(MINE)).viewer).toMatchObject({
      friends: { nodes: [{ username: 'ben' }] },
      asked: { nodes: [] },
    });

    expect((await eve.ask(ADD, { id: ben.id })).addFriend.status).toBe('PENDING');
    expect((await ben.ask(ADD, { id: eve.id })).addFriend.status).toBe('ACCEPTED');
    await ann.ask(REMOVE, { id: ben.id });
    await ann.ask(ADD, { id: ben.id });
    await ben.ask(DECLINE, { id: ann.id });
    expect((await ben.ask(MINE)).viewer.friendRequests.nodes).toEqual([]);
    expect(await ben.askForErrorCode(DECLINE, { id: ann.id })).toBe('NOT_FOUND');
    expect(await ben.askForErrorCode(ACCEPT, { id: ann.id })).toBe('NOT_FOUND');
  });

  test('two simultaneous requests under APPROVAL make a friendship', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    await Promise.all([ann.ask(PROFILE, approval), ben.ask(PROFILE, approval)]);
    const statuses = (await Promise.all([ann.ask(ADD, { id: ben.id }), ben.ask(ADD, { id: ann.id })])).map(
      ({ addFriend }) => addFriend.status,
    );
    expect(statuses.sort()).toEqual(['ACCEPTED', 'PENDING']);
    expect((await ann.ask(MINE)).viewer).toMatchObject({
      friends: { nodes: [{ username: 'ben' }] },
      friendRequests: { nodes: [] },
      asked: { nodes: [] },
    });
  });

  test('refuses oneself, unknown users, blocks and signed-out clients', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    expect(await ann.askForErrorCode(ADD, { id: ann.id })).toBe('BAD_USER_INPUT');
    expect(await ann.askForErrorCode(ADD, { id: room })).toBe('NOT_FOUND');
    await ann.ask(ADD, { id: ben.id });
    expect((await ann.ask(BLOCK, { id: ben.id })).blockUser.user).toEqual({
      viewerHasBlocked: true,
      viewerIsFriend: false,
    });
    expect((await ben.ask(MINE)).viewer.friends.nodes).toEqual([]);
    expect(await ann.askForErrorCode(ADD, { id: ben.id })).toBe('BLOCKED');
    expect(await ben.askForErrorCode(ADD, { id: ann.id })).toBe('BLOCKED');
    const { errors } = await request(server.url, ADD, { id: ben.id });
    expect(errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
  });

  test('a profile keeps absent fields, and null clears one', async () => {
    const server = await startTestServer();
    const [ann, ben] = await Promise.all([signUp(server.url, 'ann'), signUp(server.url, 'ben')]);
    const change = async (input: object) => (await ann.ask(PROFILE, { input })).updateProfile.viewer;
    expect(await change({ nickname: 'Ann!', bio: 'Hi', email: 'ann@example.org', currentPassword: PASSWORD })).toEqual({
      email: 'ann@example.org',
      emailVerified: false,
      friendPolicy: 'OPEN',
      user: { nickname: 'Ann!', bio: 'Hi' },
    });
    expect(await change({ bio: null })).toMatchObject({
      email: 'ann@example.org',
      user: { nickname: 'Ann!', bio: null },
    });
    expect(await change({ nickname: null, email: null, currentPassword: PASSWORD })).toMatchObject({
      email: null,
      user: { nickname: 'ann' },
    });
    expect(await ben.askForErrorCode(PROFILE, { input: { bio: 'x'.repeat(501) } })).toBe('BAD_USER_INPUT');
  });
});

test('requests between two users end with a block, from either side', async () => {
  const server = await startTestServer();
  const { ann, ben, eve } = await world(server);
  for (const person of [ann, ben]) await person.ask(PROFILE, approval);
  for (const [blocker, blocked] of [
    [ann, ben],
    [ben, ann],
  ] as const) {
    expect((await ann.ask(ADD, { id: ben.id })).addFriend.status).toBe('PENDING');
    expect((await eve.ask(ADD, { id: ben.id })).addFriend.status).toBe('PENDING');
    expect((await ben.ask(MINE)).viewer.friendRequests.nodes).toHaveLength(2);
    await blocker.ask(BLOCK, { id: blocked.id });
    expect((await ben.ask(MINE)).viewer.friendRequests.nodes).toMatchObject([{ from: { username: 'eve' } }]);
    expect((await ann.ask(MINE)).viewer.asked.nodes).toEqual([]);
    expect(
      await ben.askForErrorCode(ACCEPT, {
        id: ann.id,
      }),
    ).toBe('NOT_FOUND');
    await blocker.ask(UNBLOCK, {
      id: blocked.id,
    });
    expect((await ben.ask(MINE)).viewer.friendRequests.nodes).toHaveLength(1);
  }
});
