import { expect, test } from 'vitest';
import { encodeId, keyOf } from '../src/core/globalIds.ts';
import { cleanFiles } from '../src/features/attachments/cleanUp.ts';
import { blackPng } from './files/inputs.ts';
import { startHeldClamd } from './support/clamd.ts';
import type { Person } from './support/client.ts';
import { attach, get, PNG, sendFile } from './support/files.ts';
import { freePort } from './support/ports.ts';
import { createRoom, DELETE_ROOM, REMOVE, SET_ROLE } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const SET = `mutation ($id: ID) { setAvatar(input: { attachmentId: $id }) { user { id avatar { url width height thumbHash } } } }`;
const SET_ROOM = `mutation ($room: ID!, $id: ID) {
  setChatroomAvatar(input: { chatroomId: $room, attachmentId: $id }) { chatroom { id avatar { url } } } }`;
const USER = 'query ($name: String!) { user(username: $name) { avatar { url width height thumbHash } } }';
const ROOM = 'query ($room: ID!) { chatroom(id: $room) { avatar { url } } }';
const EVENTS = `subscription ($room: ID!) { chatroomEvents(chatroomId: $room) { __typename chatroom { avatar { url } } } }`;

const STATE = 'query ($id: ID!) { node(id: $id) { ... on Attachment { state rejection } } }';

const upload = async (person: Person) => String((await attach(person, { ...PNG, purpose: 'AVATAR' })).id);
const avatarOf = async (viewer: Person, name: string) => (await viewer.ask(USER, { name })).user.avatar;

test('an avatar of a user is visible to every signed-in user', async () => {
  const { ann, eve } = await world(await startTestServer());
  expect(await avatarOf(eve, 'ann')).toBeNull();
  await ann.ask(SET, { id: await upload(ann) });
  await expect.poll(() => avatarOf(eve, 'ann')).toMatchObject({ width: 1, height: 1, thumbHash: expect.any(String) });
  const { url } = await avatarOf(eve, 'ann');
  const response = await get(eve, url);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'image/webp']);
});

test('an avatar is readable at its full size by its uploader only', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  await ann.ask(SET, { id: await upload(ann) });
  await ann.ask(SET_ROOM, { room, id: await upload(ann) });
  const ofUser = () => avatarOf(ben, 'ann');
  const ofRoom = async () => (await ben.ask(ROOM, { room })).chatroom.avatar;
  for (const avatar of [ofUser, ofRoom]) {
    await expect.poll(avatar).not.toBeNull();
    const { url } = await avatar();
    for (const [variant, status] of [
      ['thumbnail', 200],
      ['preview', 404],
      ['original', 404],
    ] as const) {
      const path = url.replace('thumbnail', variant);
      expect([variant, (await get(ben, path)).status, (await get(ann, path)).status]).toEqual([variant, status, 200]);
    }
  }
});

/** Starts a server whose clamd answers when the test wants it to. */
async function startHeld() {
  const port = await freePort();
  const clamd = await startHeldClamd(port);
  const server = await startTestServer({ env: { CLAMAV: `127.0.0.1:${port}` } });
  const place = await world(server);
  const { ann, ben, room } = place;
  return {
    ...{ ...place, ...clamd, server },
    ofUser: async () => (await avatarOf(ben, 'ann'))?.url ?? null,
    ofRoom: async () => (await ben.ask(ROOM, { room })).chatroom.avatar?.url ?? null,
    state: async (id: string) => (await ann.ask(STATE, { id })).node?.state,
    path: (id: string) => `/files/${keyOf('Attachment', id)}/thumbnail`,
  };
}

test('a former avatar stays until the new one is ready, which is one event', async () => {
  const { ann, ben, room, answer, ofUser, ofRoom, path } = await startHeld();
  const events = ben.connect().subscribe(EVENTS, { room });
  await events.ready();
  let former: string | null = null;
  for (let i = 0; i < 2; i += 1) {
    const id = await upload(ann);
    const set = await ann.ask(SET_ROOM, { room, id });
    expect([set.setChatroomAvatar.chatroom.avatar?.url ?? null, await ofRoom()]).toEqual([former, former]);
    await ann.ask(SET_ROOM, { room, id });
    await answer('OK');
    expect(await events.next()).toEqual({ __typename: 'ChatroomUpdated', chatroom: { avatar: { url: path(id) } } });
    if (former) expect((await get(ann, former)).status).toBe(404);
    former = path(id);
  }
  await send(ann, room, 'no other event');
  expect(await events.next()).toMatchObject({ __typename: 'MessageAdded' });
  former = null;
  for (let i = 0; i < 2; i += 1) {
    const id = await upload(ann);
    expect((await ann.ask(SET, { id })).setAvatar.user.avatar?.url ?? null).toBe(former);
    expect(await ofUser()).toBe(former);
    await answer('OK');
    await expect.poll(ofUser).toBe(path(id));
    former = path(id);
  }
});

test('a former avatar stays if the new one is rejected', async () => {
  const { ann, room, answer, ofUser, ofRoom, path, state } = await startHeld();
  const ofTargets = [
    { set: (id: string) => ann.ask(SET, { id }), avatar: ofUser },
    { set: (id: string) => ann.ask(SET_ROOM, { room, id }), avatar: ofRoom },
  ];
  for (const { set, avatar } of ofTargets) {
    const [first, second, third] = [await upload(ann), await upload(ann), await upload(ann)];
    await set(first);
    await answer('OK');
    await expect.poll(avatar).toBe(path(first));
    await set(second);
    await answer('FOUND');
    await expect.poll(() => state(second)).toBe('REJECTED');
    expect(await avatar()).toBe(path(first));
    expect((await get(ann, path(first))).status).toBe(200);
    // The rejected image does not stand in the way of another one.
    await set(third);
    await answer('OK');
    await expect.poll(avatar).toBe(path(third));
  }
});

test('a later change of an avatar cancels one that waits', async () => {
  const { ann, room, receive, answer, ofUser, ofRoom, path, state } = await startHeld();
  const ofTargets = [
    { set: (id: string | null) => ann.ask(SET, { id }), avatar: ofUser },
    { set: (id: string | null) => ann.ask(SET_ROOM, { room, id }), avatar: ofRoom },
  ];
  for (const { set, avatar } of ofTargets) {
    const first = await upload(ann);
    await set(first);
    await answer('OK');
    await expect.poll(avatar).toBe(path(first));
    const [second, third] = [await upload(ann), await upload(ann)];
    // Neither a refused change nor another owner takes the image that waits.
    await set(second);
    await expect(set(encodeId('Attachment', crypto.randomUUID()))).rejects.toThrow();
    await expect(ann.ask(avatar === ofUser ? SET_ROOM : SET, { room, id: second })).rejects.toThrow();
    expect(await state(second)).toBe('PROCESSING');
    await receive(2);
    await set(third);
    expect(await state(second)).toBeUndefined();
    await set(first);
    expect(await state(third)).toBeUndefined();
    await answer('OK');
    await answer('OK');
    expect(await avatar()).toBe(path(first));
    const fourth = await upload(ann);
    await set(fourth);
    await receive(1);
    await set(null);
    expect([await state(fourth), await state(first), await avatar()]).toEqual([undefined, undefined, null]);
    await answer('OK');
  }
});

test('another device learns of an avatar when it is ready', async () => {
  const { ann, answer, ofUser } = await startHeld();
  const VIEWER = `subscription ($after: String) { viewerEvents(after: $after, snapshot: true) {
    __typename ... on ViewerSnapshot { cursor viewer { user { avatar { url } } } } } }`;
  const open = (variables = {}) => ann.connect().subscribe(VIEWER, variables);
  await ann.ask(SET, { id: await upload(ann) });
  const { cursor, viewer } = await open().next();
  expect(viewer.user.avatar).toBeNull();
  await answer('OK');
  await expect.poll(ofUser).not.toBeNull();
  expect(await open({ after: cursor }).next()).toMatchObject({ viewer: { user: { avatar: { url: await ofUser() } } } });
});

test('an avatar that waits is kept by the clean-up, and deleted with its room', async () => {
  const { ann, room, server, answer, ofUser, path, state } = await startHeld();
  const [ofAnn, ofRoom, unused] = [await upload(ann), await upload(ann), await upload(ann)];
  await ann.ask(SET, { id: ofAnn });
  await ann.ask(SET_ROOM, { room, id: ofRoom });
  const { database, files } = server.node;
  expect(await cleanFiles({ database, files: files! }, 0)).toMatchObject({ uploads: 1 });
  expect([await state(ofAnn), await state(ofRoom), await state(unused)]).toEqual([
    'PROCESSING',
    'PROCESSING',
    undefined,
  ]);
  await ann.ask(DELETE_ROOM, { id: room });
  await expect.poll(() => state(ofRoom)).toBeUndefined();
  await answer('OK');
  await expect.poll(ofUser).toBe(path(ofAnn));
});

test('a replaced or removed avatar is deleted', async () => {
  const { ann, eve } = await world(await startTestServer());
  const [first, second] = [await upload(ann), await upload(ann)];
  await ann.ask(SET, { id: first });
  await ann.ask(SET, { id: first });
  await expect.poll(() => avatarOf(eve, 'ann')).not.toBeNull();
  const { url } = await avatarOf(eve, 'ann');
  await ann.ask(SET, { id: second });
  // The former avatar stays until the second image has been processed.
  await expect.poll(async () => (await get(eve, url)).status).toBe(404);
  expect(await ann.askForErrorCode(SET, { id: first })).toBe('NOT_FOUND');
  await ann.ask(SET, { id: null });
  expect(await avatarOf(eve, 'ann')).toBeNull();
  expect(await ann.ask('query ($id: ID!) { node(id: $id) { id } }', { id: second })).toEqual({ node: null });
});

test('an avatar of a room is visible to those who see the room', async () => {
  const { ann, ben, eve, room } = await world(await startTestServer());
  const events = ben.connect().subscribe(EVENTS, { room });
  await events.ready();
  await ann.ask(SET_ROOM, { room, id: await upload(ann) });
  expect(await events.next()).toMatchObject({ __typename: 'ChatroomUpdated' });
  await expect.poll(async () => (await ben.ask(ROOM, { room })).chatroom.avatar).not.toBeNull();
  const { url } = (await ben.ask(ROOM, { room })).chatroom.avatar;
  expect([(await get(ben, url)).status, (await get(eve, url)).status]).toEqual([200, 404]);
  const open = await createRoom(ann, { kind: 'OPEN', name: 'Open' });
  await ann.ask(SET_ROOM, { room: open, id: await upload(ann) });
  await expect.poll(async () => (await eve.ask(ROOM, { room: open })).chatroom.avatar).not.toBeNull();
  await ann.ask(DELETE_ROOM, { id: room });
  expect((await get(ben, url)).status).toBe(404);
});

test('an avatar that waits is not set for an admin who was removed meanwhile', async () => {
  const { ann, ben, room, answer } = await startHeld();
  await ann.ask(SET_ROLE, { id: room, user: ben.id, role: 'ADMIN' });
  const id = await upload(ben);
  await ben.ask(SET_ROOM, { room, id });
  await ann.ask(REMOVE, { id: room, user: ben.id });
  await answer('OK');
  const states = async () => (await ben.ask(STATE, { id })).node?.state;
  await expect.poll(states).toBe('READY');
  expect((await ann.ask(ROOM, { room })).chatroom.avatar).toBeNull();
});

test('an avatar of a room is hidden from its uploader after their removal', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  await ann.ask(SET_ROLE, { id: room, user: ben.id, role: 'ADMIN' });
  await ben.ask(SET_ROOM, { room, id: await upload(ben) });
  const avatar = async () => (await ann.ask(ROOM, { room })).chatroom.avatar;
  await expect.poll(avatar).not.toBeNull();
  const { url } = await avatar();
  expect((await get(ben, url)).status).toBe(200);
  await ann.ask(REMOVE, { id: room, user: ben.id });
  expect((await get(ben, url)).status).toBe(404);
  expect((await get(ann, url)).status).toBe(200);
});

test('an image without variants is no avatar', async () => {
  const { ann } = await world(await startTestServer());
  const heic = { fileName: 'me.heic', mediaType: 'image/heic', bytes: Buffer.from('....ftypheic') };
  await expect(attach(ann, { ...heic, purpose: 'AVATAR' })).rejects.toThrow('An avatar is an image: JPEG, PNG');
  const large = { fileName: 'me.png', mediaType: 'image/png', bytes: blackPng(10_000, 5_001) };
  const { id } = await attach(ann, { ...large, purpose: 'AVATAR' });
  await expect
    .poll(async () => (await ann.ask(STATE, { id })).node)
    .toEqual({ state: 'REJECTED', rejection: 'TOO_LARGE' });
  expect(await ann.askForErrorCode(SET, { id })).toBe('NOT_FOUND');
});

test('an avatar has one use', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  const id = await upload(ann);
  await ann.ask(SET, { id });
  expect(await ann.askForErrorCode(SET_ROOM, { room, id })).toBe('NOT_FOUND');
  expect(await ben.askForErrorCode(SET, { id })).toBe('NOT_FOUND');
  const { attachments } = await sendFile(ann, room, PNG);
  expect(await ann.askForErrorCode(SET, { id: attachments[0].id })).toBe('NOT_FOUND');
  const direct = await createRoom(ann, { kind: 'DIRECT', memberIds: [ben.id] });
  expect(await ann.askForErrorCode(SET_ROOM, { room: direct, id: await upload(ann) })).toBe('BAD_USER_INPUT');
});
