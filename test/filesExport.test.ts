import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startSession } from '../src/auth/sessions.ts';
import { exportChatroom, exportUser } from '../src/cli/export/export.ts';
import { exportedChatroom, exportedUser } from '../src/cli/export/exportFormat.ts';
import { importPath } from '../src/cli/import/importPath.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { createContext } from '../src/graphql/operation.ts';
import type { Person } from './support/client.ts';
import { attach, get, PNG, sendFile, textFile } from './support/files.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { world } from './support/world.ts';

const FILES = `query ($id: ID!) { chatroom(id: $id) { messages { nodes {
  number attachments { id fileName mediaType byteSize sha256 state url image { url width height thumbHash } } } } } }`;

const working = ({ node: { database, passwords, files } }: TestServer) => ({
  ...{ database, passwords, files },
  progress: createProgress({ isTTY: false, write: () => true }),
});

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-files-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** Starts a server with a room in which ann has sent a note and a picture. */
async function roomWithFiles() {
  const server = await startTestServer();
  const place = await world(server);
  await sendFile(place.ann, place.room, textFile('a note'));
  await sendFile(place.ann, place.room, PNG);
  const filesOf = async (person: Person) => (await person.ask(FILES, { id: place.room })).chatroom.messages.nodes;
  await expect.poll(async () => (await filesOf(place.ann))[1].attachments[0].image).not.toBeNull();
  return { ...place, server, filesOf };
}

test('an exported room is imported with its files', async () => {
  const { ann, room, server, filesOf } = await roomWithFiles();
  const file = join(await makeFolder(), 'room.json');
  await exportChatroom(working(server), room, file);
  expect(exportedChatroom.parse(JSON.parse(await readFile(file, 'utf8'))).messages[1]?.attachments).toMatchObject([
    { fileName: 'dot.png', image: { width: 1 } },
  ]);
  const there = await startTestServer();
  expect(await importPath(working(there), file, [])).toMatchObject({ messages: 2, skipped: {} });
  const context = await createContext(there.node, { authorization: undefined });
  const { accessToken } = await startSession(context, { id: keyOf('User', ann.id) ?? '', passwordHash: null });
  const arrived = ann.at(there.url).on({ accessToken });
  const expected = await filesOf(ann);
  const found = (await arrived.ask(FILES, { id: room })).chatroom.messages.nodes;
  expect(found).toEqual(expected);
  for (const url of [found[0].attachments[0].url, found[1].attachments[0].url, found[1].attachments[0].image.url]) {
    const [here, copied] = [await get(ann, url), await get({ ...arrived, url: there.url }, url)];
    expect(await copied.text()).toBe(await here.text());
  }
  // Without the folder of the files, the messages are imported.
  await rm(`${file}.files`, { recursive: true });
  const bare = await startTestServer();
  expect(await importPath(working(bare), file, [])).toMatchObject({
    messages: 2,
    skipped: { 'a file without its bytes': 2 },
  });
});

test('exported users and rooms are imported with their avatars', async () => {
  const { ann, room, server } = await roomWithFiles();
  const avatar = async () => String((await attach(ann, { ...PNG, purpose: 'AVATAR' })).id);
  const AVATARS = 'query ($id: ID!) { viewer { user { avatar { url } } } chatroom(id: $id) { avatar { url } } }';
  const SET = `mutation ($own: ID!, $room: ID!, $rooms: ID!) {
    setAvatar(input: { attachmentId: $own }) { user { id } }
    setChatroomAvatar(input: { chatroomId: $room, attachmentId: $rooms }) { chatroom { id } } }`;
  await ann.ask(SET, { own: await avatar(), room, rooms: await avatar() });
  const avatarsOf = (person: Person) => person.ask(AVATARS, { id: room });
  await expect.poll(async () => JSON.stringify(await avatarsOf(ann))).not.toContain('null');
  const folder = await makeFolder();
  await exportUser(working(server), 'ann', join(folder, 'ann.json'));
  await exportChatroom(working(server), room, join(folder, 'room.json'));
  const there = await startTestServer();
  for (const name of ['ann', 'room'])
    expect(await importPath(working(there), join(folder, `${name}.json`), [])).toMatchObject({ skipped: {} });
  const context = await createContext(there.node, { authorization: undefined });
  const { accessToken } = await startSession(context, { id: keyOf('User', ann.id) ?? '', passwordHash: null });
  const arrived = { ...ann.at(there.url).on({ accessToken }), url: there.url };
  const expected = await avatarsOf(ann);
  expect(await avatarsOf(arrived)).toEqual(expected);
  for (const url of [expected.viewer.user.avatar.url, expected.chatroom.avatar.url])
    expect(await (await get(arrived, url)).text()).toBe(await (await get(ann, url)).text());
});

test('the export of a user contains the files that the user has sent', async () => {
  const { server } = await roomWithFiles();
  const file = join(await makeFolder(), 'ann.json');
  await exportUser(working(server), 'ann', file);
  const { messages } = exportedUser.parse(JSON.parse(await readFile(file, 'utf8')));
  const [note] = messages[0]?.attachments ?? [];
  expect(note).toMatchObject({ fileName: 'note.txt', byteSize: 6 });
  expect(await readFile(join(`${file}.files`, note?.id ?? '', note?.object ?? ''), 'utf8')).toBe('a note');
});
