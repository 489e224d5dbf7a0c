import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Person } from './support/client.ts';
import { attach, complete, createUpload, PNG, put, SEND_FILES, sendFile, textFile } from './support/files.ts';
import { dataDirOf, startTestServer, type TestServer } from './support/server.ts';
import { world } from './support/world.ts';

const DELETE = `mutation ($id: ID!) {
  deleteUpload(input: { uploadId: $id }) { deletedUploadId viewer { storage { usedBytes } } } }`;
const SET = 'mutation ($id: ID) { setAvatar(input: { attachmentId: $id }) { user { id avatar { url } } } }';
const NODE = 'query ($id: ID!) { node(id: $id) { id } }';

/** Returns the number of files in the store of a server. */
async function countFiles({ databaseUrl }: TestServer): Promise<number> {
  const root = join(dataDirOf(databaseUrl), 'files');
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).length;
}

const remove = async (person: Person, id: string) => (await person.ask(DELETE, { id })).deleteUpload;

test('deleteUpload frees storage and open uploads, and deletes the bytes', async () => {
  const server = await startTestServer({ env: { MAX_USER_STORAGE_MB: '1' } });
  const { ann } = await world(server);
  const large = textFile('x'.repeat(600_000));
  const open = await createUpload(ann, large);
  await put(ann, open, large.bytes);
  const other = textFile('y'.repeat(600_000));
  await expect(createUpload(ann, other)).rejects.toThrow('more storage');
  expect(await remove(ann, open.id)).toEqual({ deletedUploadId: open.id, viewer: { storage: { usedBytes: 0 } } });
  const { id } = await attach(ann, other);
  await expect.poll(() => countFiles(server)).toBe(1);
  expect((await remove(ann, id)).viewer.storage.usedBytes).toBe(0);
  await expect.poll(() => countFiles(server)).toBe(0);
  for (const each of [open.id, id]) {
    expect(await ann.askForErrorCode(DELETE, { id: each })).toBe('NOT_FOUND');
    expect(await ann.ask(NODE, { id: each })).toEqual({ node: null });
  }
  for (let i = 0; i < 100; i += 1) await createUpload(ann, textFile(`${i}`));
  await expect(createUpload(ann, textFile('one more'))).rejects.toThrow('100 open uploads');
  await remove(ann, (await createUpload(ann, textFile('7'))).id);
  await createUpload(ann, textFile('one more'));
});

test('deleteUpload deletes no sent file, no avatar and no file of another user', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  const [{ id: sent, url }] = (await sendFile(ann, room)).attachments;
  const { id: avatar } = await attach(ann, { ...PNG, purpose: 'AVATAR' });
  await ann.ask(SET, { id: avatar });
  const avatarOf = async () => (await ann.ask('{ viewer { user { avatar { url } } } }')).viewer.user.avatar;
  await expect.poll(avatarOf).not.toBeNull();
  const { id: unsent } = await attach(ann, textFile('unsent'));
  for (const id of [sent, avatar]) expect(await ann.askForErrorCode(DELETE, { id })).toBe('NOT_FOUND');
  for (const id of [sent, avatar, unsent]) expect(await ben.askForErrorCode(DELETE, { id })).toBe('NOT_FOUND');
  expect([url, await avatarOf()]).not.toContain(null);
  for (const id of [sent, avatar, unsent]) expect(await ann.ask(NODE, { id })).toEqual({ node: { id } });
});

test('the id of an upload deletes it only while it is open', async () => {
  const { ann } = await world(await startTestServer());
  const file = textFile('of two windows');
  const upload = await createUpload(ann, file);
  await put(ann, upload, file.bytes);
  const { id } = await complete(ann, upload);
  expect(await ann.askForErrorCode(DELETE, { id: upload.id })).toBe('NOT_FOUND');
  expect(await ann.ask(NODE, { id })).toEqual({ node: { id } });
  expect(await remove(ann, id)).toMatchObject({ deletedUploadId: id });
});

test('of a send and a deletion of the same file, one wins', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  for (let i = 0; i < 10; i += 1) {
    const { id } = await attach(ann, textFile(`${i}`));
    const send = () => ann.ask(SEND_FILES, { input: { chatroomId: room, body: '', attachmentIds: [id] } });
    const calls = i % 2 ? [send, () => remove(ann, id)] : [() => remove(ann, id), send];
    const results = await Promise.allSettled(calls.map((call) => call()));
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const isSent = results[i % 2 ? 0 : 1]?.status === 'fulfilled';
    expect(await ben.ask(NODE, { id })).toEqual({ node: isSent ? { id } : null });
  }
});
