import { once } from 'node:events';
import { type ClientRequest, request } from 'node:http';
import { expect, onTestFinished, test, vi } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { PASSWORD } from './support/client.ts';
import {
  attach,
  complete,
  COMPLETE_UPLOAD,
  countOpenFiles,
  createUpload,
  get,
  put,
  sendFile,
  textFile,
} from './support/files.ts';
import { BLOCK, REMOVE } from './support/rooms.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { world } from './support/world.ts';

/** Larger than all buffers between a file and a client that does not read. */
const LARGE = textFile('x'.repeat(24_000_000), 'large.txt');

async function keysOf({ node }: TestServer): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of node.files!.list()) keys.push(key);
  return keys;
}

const SIGN_OUT = 'mutation { signOut { ok } }';

test.each([
  ['is removed from the room', (place) => place.ann.ask(REMOVE, { id: place.room, user: place.ben.id })],
  ['blocks the sender', (place) => place.ben.ask(BLOCK, { id: place.ann.id })],
  ['is signed out', (place) => place.ben.ask(SIGN_OUT)],
] as [string, (place: Awaited<ReturnType<typeof world>>) => Promise<unknown>][])(
  'slow downloads end within a second after the reader %s',
  async (_, lose) => {
    const place = await world(await startTestServer());
    const { attachments } = await sendFile(place.ann, place.room, LARGE);
    const begin = async () => {
      const reader = (await get(place.ben, attachments[0].url)).body!.getReader();
      return { reader, length: (await reader.read()).value?.length ?? 0 };
    };
    const downloads = [await begin(), await begin()];
    expect(await countOpenFiles()).toBe(2);
    await lose(place);
    await expect.poll(countOpenFiles, { timeout: 2_000 }).toBe(0);
    for (const { reader, length } of downloads) {
      let received = length;
      const read = async () => {
        for (let next = await reader.read(); !next.done; next = await reader.read()) received += next.value.length;
      };
      await expect(read()).rejects.toThrow('terminated');
      expect(received).toBeLessThan(LARGE.bytes.length);
    }
  },
);

/** Starts a request that announces the bytes of an upload, and sends one byte. */
async function beginPut(url: string, upload: any): Promise<ClientRequest> {
  const begun = request(new URL(upload.url, url), { method: 'PUT', headers: { 'content-length': 10 } });
  begun.on('error', () => undefined);
  begun.write('0');
  await once(begun, 'socket');
  return begun;
}

test('an upload has at most four unfinished requests', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const file = textFile('0123456789');
  const upload = await createUpload(ann, file);
  const begun: ClientRequest[] = [];
  for (const parts of [1, 2, 3, 4, 4, 4]) {
    begun.push(await beginPut(server.url, upload));
    await expect.poll(() => keysOf(server)).toHaveLength(parts);
    await expect.poll(() => begun.filter(({ destroyed }) => !destroyed)).toHaveLength(parts);
  }
  expect(begun.map(({ destroyed }) => destroyed)).toEqual([true, true, false, false, false, false]);
  expect((await put(ann, upload, file.bytes)).status).toBe(200);
  expect(await complete(ann, upload)).toMatchObject({ state: 'READY' });
  for (const each of begun) each.destroy();
  await expect.poll(() => keysOf(server)).toHaveLength(1);
});

test('concurrent uploads do not exceed the storage of their user together', async () => {
  const server = await startTestServer({ env: { MAX_FILE_MB: '1', MAX_USER_STORAGE_MB: '5' } });
  const { ann } = await world(server);
  const announced = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) => createUpload(ann, textFile('x'.repeat(1_000_000), `${i}.txt`))),
  );
  expect(announced.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
});

test('a file that the store lacks fails with a complete response', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const { url } = await attach(ann, textFile('0123456789'));
  for (const key of await keysOf(server)) await server.node.files!.delete(key);
  for (const headers of [{}, { range: 'bytes=2-3' }] as Record<string, string>[]) {
    const response = await get(ann, url, headers);
    expect(response.status).toBe(500);
    expect(Object.fromEntries(response.headers)).toMatchObject({ 'content-type': 'text/plain' });
    for (const name of ['etag', 'content-range', 'content-disposition']) expect(response.headers.has(name)).toBe(false);
    expect(await response.text()).toBe('An unexpected error occurred. Try again.\n');
  }
});

test('bytes that arrive after the deletion of their upload are not kept', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const upload = await createUpload(ann, textFile('0123456789'));
  const begun = await beginPut(server.url, upload);
  await expect.poll(() => keysOf(server)).toHaveLength(1);
  await ann.ask(`mutation { deleteAccount(input: { password: "${PASSWORD}" }) { ok } }`);
  const responded = once(begun, 'response');
  begun.end('123456789');
  expect((await responded)[0]).toMatchObject({ statusCode: 404 });
  expect(await keysOf(server)).toEqual([]);
});

test('an upload may take longer than its URL is valid', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const upload = await createUpload(ann, textFile('0123456789'));
  const id = keyOf('Upload', upload.id) ?? '';
  // Signed so that the URL expires in three seconds.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 15 * 60_000 + 3_000 });
  onTestFinished(() => void vi.useRealTimers());
  const token = await server.node.fileTokens.signUpload(id);
  vi.useRealTimers();
  const begun = await beginPut(server.url, { url: `/files/uploads/${id}?token=${token}` });
  await expect.poll(() => keysOf(server)).toHaveLength(1);
  await expect.poll(() => server.node.fileTokens.verifyUpload(token, id)).toBeFalsy();
  const responded = once(begun, 'response');
  begun.end('123456789');
  expect((await responded)[0]).toMatchObject({ statusCode: 200 });
  expect(await complete(ann, upload)).toMatchObject({ state: 'READY' });
});

test('a failed check of an upload leaves no copy of its bytes', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const file = textFile('0123456789');
  const upload = await createUpload(ann, file);
  await put(ann, upload, file.bytes);
  const { images } = server.node;
  server.node.images = { ...images, inspect: () => Promise.reject(new Error('The worker has ended.')) };
  expect(await ann.askForErrorCode(COMPLETE_UPLOAD, { id: upload.id })).toBe('INTERNAL_SERVER_ERROR');
  expect(await keysOf(server)).toEqual([`uploads/${keyOf('Upload', upload.id)}`]);
  server.node.images = images;
  expect(await complete(ann, upload)).toMatchObject({ state: 'READY' });
});

test('a broken upload is not logged as an error, and a failed write is', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const errors: unknown[] = [];
  server.node.log.error = (...logged: unknown[]) => void errors.push(logged);
  const upload = await createUpload(ann, textFile('0123456789'));
  const begun = await beginPut(server.url, upload);
  await expect.poll(() => keysOf(server)).toHaveLength(1);
  begun.destroy();
  await expect.poll(() => keysOf(server)).toEqual([]);
  expect(errors).toEqual([]);
  server.node.files!.write = () => Promise.reject(new Error('No space is left.'));
  expect((await put(ann, upload, Buffer.from('0123456789'))).status).toBe(500);
  expect(errors).toHaveLength(1);
});
