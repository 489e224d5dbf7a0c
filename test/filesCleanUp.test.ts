import { mkdir, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { administer } from '../src/cli/admin/admin.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { parseConfig } from '../src/core/config/config.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { cleanFiles, findMissing } from '../src/features/attachments/cleanUp.ts';
import { connectClient } from '../src/platform/database/connections.ts';
import { sql } from '../src/platform/database/database.ts';
import type { FileStore } from '../src/platform/files/fileStore.ts';
import { queueJob } from '../src/platform/jobQueue.ts';
import { PASSWORD } from './support/client.ts';
import { attach, createUpload, get, PNG, put, sendFile, textFile } from './support/files.ts';
import { DELETE_MESSAGE, DELETE_ROOM } from './support/rooms.ts';
import { dataDirOf, startTestServer, type TestServer } from './support/server.ts';
import { world } from './support/world.ts';

/** Returns the files in the store of a server. */
async function storedFiles({ databaseUrl }: TestServer): Promise<string[]> {
  const root = join(dataDirOf(databaseUrl), 'files');
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length + 1));
}

/** Returns the report of `npm run admin -- files …`. */
function admin({ databaseUrl }: TestServer, ...words: string[]) {
  const tools = {
    config: parseConfig({ DATA_DIR: dataDirOf(databaseUrl) }),
    nodeVersion: process.versions.node,
    readInput: () => Promise.resolve(''),
    progress: createProgress({ isTTY: false, write: () => true }),
  };
  return administer(['files', ...words], tools, () =>
    Promise.resolve({ url: databaseUrl, stop: () => Promise.resolve() }),
  );
}

test.each([
  ['message', ({ ann }, { id }) => ann.ask(DELETE_MESSAGE, { id })],
  ['room', ({ ann, room }) => ann.ask(DELETE_ROOM, { id: room })],
  ['account', ({ ann }) => ann.ask(`mutation { deleteAccount(input: { password: "${PASSWORD}" }) { ok } }`)],
] as [string, (place: any, message: any) => Promise<unknown>][])(
  'the deletion of a %s deletes the bytes of its files',
  async (_, remove) => {
    const server = await startTestServer();
    const place = await world(server);
    const kept = await sendFile(place.ben, await roomOf(place.ben), textFile('kept'));
    const message = await sendFile(place.ann, place.room, textFile('gone'));
    const [{ url }] = message.attachments;
    expect((await get(place.ben, url)).status).toBe(200);
    expect(await storedFiles(server)).toHaveLength(2);
    await remove(place, message);
    expect((await get(place.ben, url)).status).toBe(404);
    await expect.poll(() => storedFiles(server)).toHaveLength(1);
    expect((await get(place.ben, kept.attachments[0].url)).status).toBe(200);
  },
);

async function roomOf(person: any): Promise<string> {
  const CREATE = 'mutation { createChatroom(input: { kind: GROUP, name: "Own" }) { chatroom { id } } }';
  return (await person.ask(CREATE)).createChatroom.chatroom.id;
}

test('an upload that is not sent within 24 hours is deleted', async () => {
  const server = await startTestServer();
  const { node } = server;
  const { ann, room } = await world(server);
  const files = node.files ?? expect.fail('There is no store.');
  const sent = await sendFile(ann, room, textFile('sent'));
  const { url } = await attach(ann, textFile('forgotten'));
  const open = await createUpload(ann, textFile('open'));
  await put(ann, open, Buffer.from('open'));
  const young = await attach(ann, textFile('young'));
  await node.database.query(sql`
    UPDATE attachments SET created_at = now() - interval '25 hours'
      WHERE file_name = 'note.txt' AND id <> ${keyOf('Attachment', young.id)}::uuid`);
  expect(await cleanFiles({ database: node.database, files })).toEqual({ uploads: 2, objects: 0 });
  expect((await get(ann, url)).status).toBe(404);
  await expect.poll(() => storedFiles(server)).toHaveLength(2);
  expect((await get(ann, sent.attachments[0].url)).status).toBe(200);
  expect((await get(ann, young.url)).status).toBe(200);
});

test('an avatar that is set during the clean-up is kept', async () => {
  const server = await startTestServer();
  const { node } = server;
  const { ann } = await world(server);
  const { id } = await attach(ann, { ...PNG, purpose: 'AVATAR' });
  const [user, avatar] = [keyOf('User', ann.id) ?? '', keyOf('Attachment', id) ?? ''];
  const set = await connectClient(server.databaseUrl);
  onTestFinished(() => set.end());
  await set.query('BEGIN');
  await set.query('SELECT set_user_avatar($1, $2)', [user, avatar]);
  let isDone = false;
  const cleaning = cleanFiles({ database: node.database, files: node.files! }, 0).finally(() => (isDone = true));
  const isBlocked = async () =>
    (await node.database.query(sql`SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'`)).length > 0;
  await expect.poll(async () => isDone || (await isBlocked())).toBe(true);
  await set.query('COMMIT');
  await cleaning;
  // The processing sets the avatar.
  const avatarId = async () => (await node.database.prisma.user.findUnique({ where: { id: user } }))?.avatarId;
  await expect.poll(avatarId).toBe(avatar);
});

test('`files --check` reports no file that is uploaded meanwhile', async () => {
  const server = await startTestServer();
  const { node } = server;
  const { ann, room } = await world(server);
  const files = node.files ?? expect.fail('There is no store.');
  await sendFile(ann, room, textFile('before'));
  const busy: FileStore = {
    ...files,
    async *list(folder) {
      for await (const object of files.list(folder)) yield object;
      await sendFile(ann, room, textFile('meanwhile'));
    },
  };
  expect(await findMissing({ database: node.database, files: busy })).toEqual([]);
});

test('a late deletion spares an attachment that was imported again', async () => {
  const server = await startTestServer();
  const { node } = server;
  const { ann, room } = await world(server);
  const [{ id, url }] = (await sendFile(ann, room, textFile('restored'))).attachments;
  await queueJob(node.database.query, 'delete_file', { attachmentId: keyOf('Attachment', id) ?? '' });
  const jobs = () => node.database.query(sql`SELECT FROM graphile_worker.jobs WHERE task_identifier = 'delete_file'`);
  await expect.poll(jobs).toEqual([]);
  expect((await get(ann, url)).status).toBe(200);
});

test('`files --check` lists what is missing and what is left over', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const { attachments } = await sendFile(ann, room);
  expect(await admin(server)).toMatchObject({ failed: false });
  const root = join(dataDirOf(server.databaseUrl), 'files');
  const [key = ''] = await storedFiles(server);
  await mkdir(join(root, 'stray'));
  await writeFile(join(root, 'stray', 'object'), 'x');
  await writeFile(join(root, key, '..', 'second'), 'xy');
  await unlink(join(root, key));
  const { text, failed } = await admin(server, '--check');
  expect(failed).toBe(true);
  expect(text).toContain('orphan   stray/object  1 bytes');
  expect(text).toContain(`orphan   ${key.split('/')[0]}/second  2 bytes`);
  expect(text).toContain(`missing  ${key}`);
  expect(await admin(server, '--clean')).toMatchObject({ text: expect.stringContaining('and 0 objects') });
  expect(await admin(server, '--clean', '--hours', '0')).toMatchObject({
    text: expect.stringContaining('and 2 objects'),
  });
  expect(attachments).toHaveLength(1);
});

test('a node that was killed at any step leaves nothing after the clean-up', async () => {
  const server = await startTestServer();
  const { node } = server;
  const { ann, room } = await world(server);
  const files = node.files ?? expect.fail('There is no store.');
  const root = join(dataDirOf(server.databaseUrl), 'files');
  // Announced; sent in part; sent; copied, but not stored; stored, but not removed from the uploads.
  await createUpload(ann, textFile('1', '1'));
  const partial = await createUpload(ann, textFile('2', '2'));
  await mkdir(join(root, 'uploads'), { recursive: true });
  await writeFile(join(root, 'uploads', `${keyOf('Upload', partial.id)}.${crypto.randomUUID()}.part`), 'x');
  const copied = await createUpload(ann, textFile('3', '3'));
  await put(ann, copied, Buffer.from('3'));
  await files.copy(`uploads/${keyOf('Upload', copied.id)}`, `${keyOf('Upload', copied.id)}/${crypto.randomUUID()}`);
  const done = await sendFile(ann, room, textFile('4', '4'));
  const [{ id }] = done.attachments;
  await writeFile(join(root, 'uploads', keyOf('Attachment', id) ?? ''), '4');
  // Processed, but not stored; deleted, but processed at the same time.
  const picture = await sendFile(ann, room, PNG);
  const pictureId = keyOf('Attachment', picture.attachments[0].id) ?? '';
  await expect
    .poll(async () => (await node.database.prisma.attachment.findUnique({ where: { id: pictureId } }))?.state)
    .toBe('READY');
  await writeFile(join(root, pictureId, crypto.randomUUID()), 'a variant');
  await mkdir(join(root, crypto.randomUUID()));
  await node.database.query(sql`UPDATE attachments SET created_at = now() - interval '25 hours'`);
  await cleanFiles({ database: node.database, files }, 0);
  await expect
    .poll(async () => (await admin(server)).text)
    .toMatch(/^0 objects belong to no attachment, and 0 objects are missing/);
  const rows = await node.database.prisma.attachment.findMany();
  expect(rows.map(({ fileName }) => fileName).sort()).toEqual(['4', 'dot.png']);
  expect(
    await readFile(
      join(root, keyOf('Attachment', id) ?? '', rows.find((row) => row.fileName === '4')?.object ?? ''),
      'utf8',
    ),
  ).toBe('4');
});

test('files of another database are deleted only by hand', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  await sendFile(ann, room, textFile('kept'));
  const folder = join(dataDirOf(server.databaseUrl), 'files', crypto.randomUUID());
  await mkdir(folder, { recursive: true });
  for (let i = 0; i < 11; i += 1) await writeFile(join(folder, crypto.randomUUID()), 'of another installation');
  const { database, files } = server.node;
  await expect(cleanFiles({ database, files: files! }, 0)).rejects.toThrow(
    /^11 objects of the file store belong to no attachment, and only 1 to one\./,
  );
  expect(await storedFiles(server)).toHaveLength(12);
  expect((await admin(server, '--clean', '--hours', '0')).text).toContain('11 objects');
  expect(await storedFiles(server)).toHaveLength(1);
});
