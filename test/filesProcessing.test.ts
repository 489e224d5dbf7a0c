import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { resumeProcessing } from '../src/features/attachments/processing.ts';
import { sql } from '../src/platform/database/database.ts';
import { startHungClamd, startInfectedClamd } from './support/clamd.ts';
import type { Person } from './support/client.ts';
import { attach, get, inputOf, PNG, sendFile, sha256, textFile } from './support/files.ts';
import { freePort } from './support/ports.ts';
import { DELETE_MESSAGE } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

const NODE = `query ($id: ID!) { node(id: $id) { ... on Attachment {
  state rejection url byteSize sha256 mediaType preview: image { url width height thumbHash }
  thumbnail: image(variant: THUMBNAIL) { url width height } original: image(variant: ORIGINAL) { url } } } }`;
const CHANGES = `subscription ($room: ID!) { chatroomEvents(chatroomId: $room) {
  __typename ... on AttachmentsChanged { message { attachments { state rejection url } } } } }`;

const read = async (person: Person, id: string) => (await person.ask(NODE, { id })).node;

test('a picture has variants, a size and the hash of the served file', async () => {
  const { ann } = await world(await startTestServer());
  // A text chunk is metadata.
  const text = Buffer.from('tEXtAuthor\0somebody');
  const chunk = Buffer.concat([Buffer.from([0, 0, 0, text.length - 4]), text, crc(text)]);
  const bytes = Buffer.concat([PNG.bytes.subarray(0, 33), chunk, PNG.bytes.subarray(33)]);
  const { id } = await attach(ann, { ...PNG, bytes });
  await expect.poll(() => read(ann, id)).toMatchObject({ state: 'READY' });
  const found = await read(ann, id);
  const served = Buffer.from(await (await get(ann, found.url)).arrayBuffer());
  expect(served.includes('somebody')).toBe(false);
  expect(found).toMatchObject({ mediaType: 'image/png', byteSize: served.length, sha256: sha256(served) });
  expect(inputOf({ ...PNG, bytes }).sha256).not.toBe(found.sha256);
  expect(found.preview).toMatchObject({ width: 1, height: 1, thumbHash: expect.any(String) });
  for (const { url } of [found.preview, found.thumbnail]) {
    const response = await get(ann, url);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'image/webp']);
  }
  expect(found.original.url).toBe(found.url);
});

/** Returns the checksum of a PNG chunk. */
function crc(data: Buffer): Buffer {
  let value = 0xffffffff;
  for (const byte of data) {
    value ^= byte;
    for (let i = 0; i < 8; i += 1) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE((value ^ 0xffffffff) >>> 0);
  return sum;
}

test('an unscanned file is sent, but not served; an infected one is rejected', async () => {
  const port = await freePort();
  const { node, ...server } = await startTestServer({ env: { CLAMAV: `127.0.0.1:${port}` } });
  const { ann, ben, room } = await world(server);
  const events = ben.connect().subscribe(CHANGES, { room });
  await events.ready();
  const { attachments } = await sendFile(ann, room, textFile('not scanned'));
  expect(attachments).toMatchObject([{ state: 'PROCESSING', url: null }]);
  const [{ id }] = attachments;
  const path = `/files/${Buffer.from(id, 'base64url').toString().replace('Attachment:', '')}/original`;
  const failed = () =>
    node.database.query(sql`
      SELECT FROM graphile_worker.jobs WHERE task_identifier = 'process_attachment' AND attempts > 0 AND last_error IS NOT NULL`);
  await expect.poll(failed).toHaveLength(1);
  expect(await read(ben, id)).toMatchObject({ state: 'PROCESSING', url: null });
  expect((await get(ann, path)).status).toBe(404);
  expect(await events.next()).toMatchObject({ __typename: 'MessageAdded' });
  await startInfectedClamd(port);
  expect(await events.next()).toEqual({
    __typename: 'AttachmentsChanged',
    message: { attachments: [{ state: 'REJECTED', rejection: 'INFECTED', url: null }] },
  });
  expect((await get(ann, path)).status).toBe(404);
  expect((await ann.ask('{ viewer { storage { usedBytes } } }')).viewer.storage.usedBytes).toBe(0);
});

test('a clamd that hangs delays no other jobs', async () => {
  const port = await freePort();
  const countScans = await startHungClamd(port);
  const { node, ...server } = await startTestServer({ env: { CLAMAV: `127.0.0.1:${port}` } });
  const { ann, room } = await world(server);
  const messages = [];
  for (const name of ['1', '2', '3']) messages.push(await sendFile(ann, room, textFile(name, name)));
  await expect.poll(countScans).toBeGreaterThanOrEqual(2);
  const stored = async () => (await Readable.from(node.files!.list()).toArray()).length;
  expect(await stored()).toBe(3);
  for (const { id } of messages) await ann.ask(DELETE_MESSAGE, { id });
  await expect.poll(stored).toBe(0);
});

test('the processing of a killed node is queued again', async () => {
  const port = await freePort();
  const countScans = await startHungClamd(port);
  const { node, ...server } = await startTestServer({ env: { CLAMAV: `127.0.0.1:${port}` } });
  const { ann } = await world(server);
  await attach(ann, textFile('never scanned'));
  await expect.poll(countScans).toBe(1);
  await resumeProcessing(node.database);
  const jobs = () =>
    node.database.query<{ attempts: number }>(sql`SELECT attempts FROM graphile_worker.jobs WHERE key IS NOT NULL`);
  expect(await jobs()).toEqual([{ attempts: 1 }]);
  await node.database.query(sql`UPDATE graphile_worker._private_jobs SET locked_at = now() - interval '11 minutes'`);
  await resumeProcessing(node.database);
  await expect.poll(countScans).toBe(2);
  expect(await node.database.query(sql`SELECT FROM graphile_worker.jobs WHERE key IS NULL`)).toEqual([]);
});

test('an image that seems to kill nodes is not decoded again', async () => {
  const { node, ...server } = await startTestServer();
  const { ann } = await world(server);
  const { images, database } = node;
  const process = images.processImage.bind(images);
  const decoded: (boolean | undefined)[] = [];
  let die: (error: Error) => void = () => undefined;
  images.processImage = async (image) => {
    decoded.push(image.mayDecode);
    return image.mayDecode ? new Promise((_, reject) => (die = reject)) : process(image);
  };
  const { id } = await attach(ann, PNG);
  for (const kills of [1, 2]) {
    await expect.poll(() => decoded).toHaveLength(kills);
    await database.query(sql`
      UPDATE graphile_worker._private_jobs SET locked_at = now() - interval '11 minutes' WHERE locked_at IS NOT NULL`);
    await resumeProcessing(database);
    die(new Error('The node was killed.'));
  }
  await expect.poll(() => read(ann, id)).toMatchObject({ state: 'READY', preview: null });
  expect(decoded).toEqual([true, true, false]);
});

test('a message with files needs no words, also after an edit', async () => {
  const { ann, room } = await world(await startTestServer());
  const EDIT = `mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "" }) { message { body attachments { fileName } } } }`;
  const message = await sendFile(ann, room, textFile(), { body: 'words' });
  expect((await ann.ask(EDIT, { id: message.id })).editMessage.message).toEqual({
    body: '',
    attachments: [{ fileName: 'note.txt' }],
  });
  const SEND = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }`;
  const { sendMessage } = await ann.ask(SEND, { input: { chatroomId: room, body: 'words' } });
  expect(await ann.askForErrorCode(EDIT, { id: sendMessage.message.id })).toBe('BAD_USER_INPUT');
});
