import { expect, test } from 'vitest';
import { blackPng } from './files/inputs.ts';
import type { Person } from './support/client.ts';
import { attach, get, PNG, sendFile } from './support/files.ts';
import { createRoom, DELETE_ROOM, REMOVE, SET_ROLE } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

const SET = `mutation ($id: ID) { setAvatar(input: { attachmentId: $id }) { user { id avatar { url width height thumbHash } } } }`;
const SET_ROOM = `mutation ($room: ID!, $id: ID) {
  setChatroomAvatar(input: { chatroomId: $room, attachmentId: $id }) { chatroom { id avatar { url } } } }`;
const USER = 'query ($name: String!) { user(username: $name) { avatar { url width height thumbHash } } }';
const ROOM = 'query ($room: ID!) { chatroom(id: $room) { avatar { url } } }';
const EVENTS = `subscription ($room: ID!) { chatroomEvents(chatroomId: $room) { __typename chatroom { avatar { url } } } }`;

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

test('a replaced or removed avatar is deleted', async () => {
  const { ann, eve } = await world(await startTestServer());
  const [first, second] = [await upload(ann), await upload(ann)];
  await ann.ask(SET, { id: first });
  await ann.ask(SET, { id: first });
  await expect.poll(() => avatarOf(eve, 'ann')).not.toBeNull();
  const { url } = await avatarOf(eve, 'ann');
  await ann.ask(SET, { id: second });
  expect((await get(eve, url)).status).toBe(404);
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
  const STATE = 'query ($id: ID!) { node(id: $id) { ... on Attachment { state rejection } } }';
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
