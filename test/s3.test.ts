import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { administer } from '../src/cli/admin/admin.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { parseConfig } from '../src/core/config/config.ts';
import { cleanFiles } from '../src/features/attachments/cleanUp.ts';
import { sql } from '../src/platform/database/database.ts';
import type { FileStore } from '../src/platform/files/fileStore.ts';
import { createS3Store } from '../src/platform/files/s3Store.ts';
import { bearer, request } from './support/client.ts';
import {
  attach,
  complete,
  COMPLETE_UPLOAD,
  CREATE_UPLOAD,
  createUpload,
  get,
  inputOf,
  PNG,
  put,
  sendFile,
  textFile,
} from './support/files.ts';
import { refusal } from './support/config.ts';
import { DELETE_MESSAGE, REMOVE } from './support/rooms.ts';
import { type ObjectStore, startS3 } from './support/s3.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

/** Starts a server whose files are in an object store. */
async function startWithS3() {
  const store = await startS3();
  const server = await startTestServer({ env: store.env });
  return { ...(await world(server)), server, store };
}

function report({ env }: ObjectStore, databaseUrl: string, ...words: string[]) {
  const tools = {
    config: parseConfig(env),
    nodeVersion: process.versions.node,
    readInput: () => Promise.resolve(''),
    progress: createProgress({ isTTY: false, write: () => true }),
  };
  return administer(words, tools, () => Promise.resolve({ url: databaseUrl, stop: () => Promise.resolve() }));
}

test('an upload goes straight to the store, and members are redirected there', async () => {
  const { ann, ben, eve, room, store } = await startWithS3();
  const file = textFile('hello, store', 'hello you.txt');
  const upload = await createUpload(ann, file);
  expect(upload.url).toMatch(`${store.env['S3_ENDPOINT']}/parley/uploads/`);
  expect(Date.parse(upload.expiresAt) - Date.now()).toBeGreaterThan(14 * 60_000);
  const names = upload.headers.map(({ name }: { name: string }) => name).sort();
  expect(names).toEqual(['content-type', 'x-amz-checksum-sha256']);
  const signed = new URL(upload.url).searchParams;
  expect(signed.get('X-Amz-Expires')).toBe('900');
  expect(signed.get('X-Amz-SignedHeaders')).toBe('content-length;content-type;host;x-amz-checksum-sha256');
  expect((await put(ann, upload, file.bytes)).status).toBe(200);
  expect(await complete(ann, upload)).toMatchObject({ state: 'READY', mediaType: 'text/plain' });
  const message = await sendFile(ann, room, file);
  const [{ url }] = message.attachments;
  expect((await get(eve, url)).status).toBe(404);
  const response = await get(ben, url);
  expect([response.status, response.headers.get('cache-control')]).toEqual([302, 'private, no-store']);
  const location = response.headers.get('location') ?? '';
  expect(new URL(location).searchParams.get('X-Amz-Expires')).toBe('60');
  const bytes = await fetch(location);
  expect(await bytes.text()).toBe('hello, store');
  expect(bytes.headers.get('content-type')).toBe('text/plain');
  expect(bytes.headers.get('content-disposition')).toBe('attachment; filename="hello you.txt"');
  const part = await fetch(location, { headers: { range: 'bytes=7-' } });
  expect([part.status, await part.text()]).toEqual([206, 'store']);
  // Not requested, because the signature check of this store does not encode the asterisk, unlike Amazon S3.
  const named = await sendFile(ann, room, textFile('x', 'ünï.txt'));
  const other = new URL((await get(ben, named.attachments[0].url)).headers.get('location') ?? '');
  expect(other.searchParams.get('response-content-disposition')).toContain(`filename*=UTF-8''%C3%BCn%C3%AF.txt`);
  const followed = await fetch(`${ben.url}${url}`, { headers: { ...bearer(ben), range: 'bytes=0-4' } });
  expect(await followed.text()).toBe('hello');
});

test('clients may reach the store at another address than the nodes', async () => {
  const store = await startS3();
  const publicEndpoint = (store.env['S3_ENDPOINT'] ?? '').replace('127.0.0.1', 'localhost');
  const server = await startTestServer({ env: { ...store.env, S3_PUBLIC_ENDPOINT: publicEndpoint } });
  const { ann, ben, room } = await world(server);
  const file = textFile('hello, store');
  expect(new URL((await createUpload(ann, file)).url).origin).toBe(publicEndpoint);
  const { attachments } = await sendFile(ann, room, file);
  const location = (await get(ben, attachments[0].url)).headers.get('location') ?? '';
  expect(new URL(location).origin).toBe(publicEndpoint);
  expect(await (await fetch(location)).text()).toBe('hello, store');
  const page = await fetch(server.url);
  expect(page.headers.get('content-security-policy')).toContain(publicEndpoint);
});

test('HEAD is responded to without a redirect, whose URL is for GET', async () => {
  const { ann, ben, room } = await startWithS3();
  const { attachments } = await sendFile(ann, room, textFile('hello, store'));
  const response = await fetch(`${ben.url}${attachments[0].url}`, { method: 'HEAD', headers: bearer(ben) });
  expect([response.status, response.redirected]).toEqual([200, false]);
  expect(response.headers.get('content-length')).toBe('12');
  expect(response.headers.get('content-type')).toBe('text/plain');
});

/** Creates a store at a server that responds as `respond` does. */
async function storeAt(respond: (request: IncomingMessage, response: ServerResponse) => void): Promise<FileStore> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => respond(request, response));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return createS3Store({
    ...{ S3_ENDPOINT: `http://127.0.0.1:${port}`, S3_BUCKET: 'parley', S3_REGION: 'us-east-1' },
    ...{ S3_ACCESS_KEY_ID: 'id', S3_SECRET_ACCESS_KEY: 'secret', S3_PATH_STYLE: 'on' },
  });
}

test('an object that arrives slowly is read to its end', async () => {
  const store = await storeAt((_request, response) => {
    response.write('the beginning');
    // Longer than the wait for the beginning of a response.
    setTimeout(() => response.end(', the end'), 9_000);
  });
  const bytes = await store.read('an/object');
  expect(await text(bytes!)).toBe('the beginning, the end');
});

test('a key without the right to list objects is found by the check', async () => {
  const store = await storeAt(({ method, url }, response) => {
    const isList = method === 'GET' && url?.includes('list-type=2');
    response.writeHead(isList ? 403 : 200).end(isList ? '<Code>AccessDenied</Code>' : 'check');
  });
  await expect(store.check()).rejects.toThrow('The object store refused GET with 403 AccessDenied.');
});

test('the store refuses an altered, expired or longer request', async () => {
  const { ann } = await startWithS3();
  const file = textFile('ten bytes.');
  const upload = await createUpload(ann, file);
  const altered = (change: (url: URL) => void) => {
    const url = new URL(upload.url);
    change(url);
    return { ...upload, url: url.toString() };
  };
  expect((await put(ann, upload, Buffer.from('eleven bytes'))).status).toBe(403);
  expect((await put(ann, upload, Buffer.from('nine'))).status).toBe(403);
  const otherKey = altered((url) => (url.pathname = `${url.pathname}0`));
  expect((await put(ann, otherKey, file.bytes)).status).toBe(403);
  const longer = altered((url) => {
    url.searchParams.set('X-Amz-Expires', '90000');
  });
  expect((await put(ann, longer, file.bytes)).status).toBe(403);
  const past = altered((url) => {
    const date = new Date(Date.now() - 20 * 60_000).toISOString().replace(/[:-]|\.\d{3}/g, '');
    url.searchParams.set('X-Amz-Date', date);
  });
  expect((await put(ann, past, file.bytes)).status).toBe(403);
  const otherType = { ...upload, headers: [{ name: 'content-type', value: 'text/html' }, ...upload.headers.slice(1)] };
  expect((await put(ann, otherType, file.bytes)).status).toBe(403);
  expect(await ann.askForErrorCode(COMPLETE_UPLOAD, { id: upload.id })).toBe('CONFLICT');
  // This store does not check checksums, so the server does.
  await put(ann, upload, Buffer.from('other byte'));
  expect(await ann.askForErrorCode(COMPLETE_UPLOAD, { id: upload.id })).toBe('CONFLICT');
  await put(ann, upload, file.bytes);
  expect(await complete(ann, upload)).toMatchObject({ state: 'READY' });
});

test('a deleted upload counts as storage until its URL has expired', async () => {
  const { ann, server } = await startWithS3();
  const file = textFile('deleted, then sent');
  const { id, ...upload } = await createUpload(ann, file);
  const DELETE = 'mutation ($id: ID!) { deleteUpload(input: { uploadId: $id }) { viewer { storage { usedBytes } } } }';
  const { viewer } = (await ann.ask(DELETE, { id })).deleteUpload;
  expect(viewer.storage.usedBytes).toBe(file.bytes.length);
  expect(await ann.ask('query ($id: ID!) { node(id: $id) { id } }', { id })).toEqual({ node: null });
  expect(await ann.askForErrorCode(DELETE, { id })).toBe('NOT_FOUND');
  expect((await put(ann, upload, file.bytes)).status).toBe(200);
  expect(await ann.askForErrorCode(COMPLETE_UPLOAD, { id })).toBe('NOT_FOUND');
  expect((await createUpload(ann, file)).id).not.toBe(id);
  const { database, files } = server.node;
  const clean = async () => (await cleanFiles({ database, files: files! })).uploads;
  expect(await clean()).toBe(0);
  await database.query(sql`UPDATE attachments SET deleted_at = deleted_at - interval '15 minutes'`);
  expect(await clean()).toBe(1);
});

test('a removed member is redirected no more', async () => {
  const { ann, ben, room } = await startWithS3();
  const { attachments } = await sendFile(ann, room);
  expect((await get(ben, attachments[0].url)).status).toBe(302);
  await ann.ask(REMOVE, { id: room, user: ben.id });
  expect((await get(ben, attachments[0].url)).status).toBe(404);
});

test('the bytes are gone after a deletion', async () => {
  const { ann, room, server, store } = await startWithS3();
  const kept = await sendFile(ann, room, PNG);
  const message = await sendFile(ann, room);
  expect((await store.keys()).filter((key) => key.startsWith('uploads/'))).toEqual([]);
  await ann.ask(DELETE_MESSAGE, { id: message.id });
  await expect.poll(async () => (await report(store, server.databaseUrl, 'files')).text).toMatch(/^0 objects belong/);
  expect((await store.keys()).length).toBeGreaterThan(0);
  expect(kept.attachments).toHaveLength(1);
});

test('an outage of the store fails uploads and nothing else', async () => {
  const { ann, ben, room, server, store } = await startWithS3();
  const upload = await createUpload(ann, textFile());
  await put(ann, upload, textFile().bytes);
  const { id } = await attach(ann, textFile('before'));
  expect((await report(store, server.databaseUrl, 'doctor')).text).toContain('ok      Uploaded files can be written');
  await store.stop();
  const { errors } = await request(ann.url, COMPLETE_UPLOAD, { id: upload.id }, bearer(ann));
  expect(errors?.[0]).toMatchObject({
    message: 'The store of files is temporarily unavailable. Try again in a moment.',
    extensions: { code: 'INTERNAL_SERVER_ERROR', retryAfterMs: 1_000 },
  });
  expect(await ann.ask(CREATE_UPLOAD, { input: inputOf(textFile('after')) })).toHaveProperty('createUpload.upload.id');
  const { number } = await send(ben, room, 'still here', { attachmentIds: [] });
  expect(number).toBe(1);
  expect(await send(ann, room, 'with a file', { attachmentIds: [id] })).toMatchObject({ number: 2 });
  const { text: findings } = await report(store, server.databaseUrl, 'doctor');
  expect(findings).toMatch(
    /fault {3}The object store of S3_ENDPOINT cannot be used \(connect ECONNREFUSED [\d.:]+\)\./,
  );
  await expect(report(store, server.databaseUrl, 'files')).rejects.toThrow(
    /^The object store does not respond \(connect ECONNREFUSED [\d.:]+\)\. Check S3_ENDPOINT\.$/,
  );
});

test('FILES=s3 names the settings that are missing', () => {
  const refused = refusal({ FILES: 's3', S3_BUCKET: 'parley' });
  for (const name of ['S3_ENDPOINT', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'])
    expect(refused).toContain(`${name} must be set if FILES=s3.`);
  expect(refused).not.toContain('S3_BUCKET must');
});
