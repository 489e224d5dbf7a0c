import { openAsBlob } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { UploadedFile, UploadProgress } from '../../client/index.ts';
import { sendBytes } from '../../client/sendBytes.ts';
import { sql } from '../../src/platform/database/database.ts';
import type { Person } from '../support/client.ts';
import { get, PNG, sha256 } from '../support/files.ts';
import { freePort } from '../support/ports.ts';
import { startS3 } from '../support/s3.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { chatOf } from './chatOf.ts';
import { startCuttingProxy } from './cutting.ts';
import { startRestarting } from './restarting.ts';

/** Larger than the buffers of a connection, so that a cut loses bytes. */
const BYTES = Buffer.alloc(8 * 1024 * 1024, 'some bytes, ');
const bytesFile = (name = 'large.txt') => new File([BYTES], name, { type: 'text/plain' });
const textFile = (text: string, name = 'note.txt') => new File([text], name, { type: 'text/plain' });

/** Returns the hash of the bytes that the server sends for an attachment. */
async function hashOf(person: Person, file: UploadedFile): Promise<string> {
  const response = await get(person, file.url ?? '');
  return sha256(Buffer.from(await response.arrayBuffer()));
}

const usedBytes = async (person: Person): Promise<number> =>
  (await person.ask('{ viewer { storage { usedBytes } } }')).viewer.storage.usedBytes;

/** Creates a `fetch` that first calls `before` for each PUT, or for each operation whose text matches. */
function fetchAfter(what: 'PUT' | RegExp, before: (count: number, init: RequestInit) => unknown): typeof fetch {
  let count = 0;
  return async (input, init = {}) => {
    const matches = what === 'PUT' ? init.method === 'PUT' : typeof init.body === 'string' && what.test(init.body);
    const answer = matches ? await before((count += 1), init) : undefined;
    return answer instanceof Response ? answer : fetch(input, init);
  };
}

describe('upload', () => {
  test('sends a file in chunks and reports its progress', async () => {
    const { ann } = await world(await startTestServer());
    const folder = await mkdtemp(join(tmpdir(), 'parley-upload-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'large'), BYTES);
    const file = await openAsBlob(join(folder, 'large'), { type: 'text/plain' });
    const progress: UploadProgress[] = [];
    const chat = chatOf(ann);
    const attachment = await chat.upload(file, { fileName: 'large.txt', onProgress: (each) => progress.push(each) });
    expect(attachment).toMatchObject({
      ...{ fileName: 'large.txt', mediaType: 'text/plain', byteSize: BYTES.length, sha256: sha256(BYTES) },
      ...{ state: 'READY', rejection: null, image: null, durationMs: null },
    });
    expect(await hashOf(ann, attachment)).toBe(sha256(BYTES));
    expect(progress.length).toBeGreaterThan(10);
    expect(progress[0]).toEqual({ sentBytes: 0, totalBytes: BYTES.length });
    expect(progress.at(-1)).toEqual({ sentBytes: BYTES.length, totalBytes: BYTES.length });
    const sent = progress.map(({ sentBytes }) => sentBytes);
    expect(sent).toEqual(sent.toSorted((a, b) => a - b));
    await expect(chat.upload(file)).rejects.toThrow('Pass the name of the file');
  });

  test('sends the bytes again after a cut, with a progress that never goes back', async () => {
    const { ann } = await world(await startTestServer());
    const proxy = await startCuttingProxy(ann.url, [5_000_000, 1_000_000]);
    const sent: number[] = [];
    const attachment = await chatOf({ ...ann, url: proxy.url }).upload(bytesFile(), {
      onProgress: ({ sentBytes }) => sent.push(sentBytes),
    });
    expect(proxy.passed).toHaveLength(3);
    expect(await hashOf(ann, attachment)).toBe(sha256(BYTES));
    expect(new Set(sent).size).toBe(sent.length);
    expect(sent).toEqual(sent.toSorted((a, b) => a - b));
  });

  test('continues across a restart of the server between two steps', async () => {
    const server = await startRestarting();
    const { ann } = await world(server);
    const restart = async (count: number) => {
      if (count > 1) return;
      await server.stop();
      setTimeout(() => void server.start());
    };
    for (const step of [/createUpload/, 'PUT', /completeUpload/] as const) {
      const attachment = await chatOf(ann, { fetch: fetchAfter(step, restart) }).upload(textFile(String(step)));
      expect(await hashOf(ann, attachment)).toBe(sha256(Buffer.from(String(step))));
    }
  });

  test('gets a new URL after the first one has expired', async () => {
    const { ann } = await world(await startTestServer());
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const statuses: number[] = [];
    const expire: typeof fetch = async (input, init) => {
      if (init?.method !== 'PUT') return fetch(input, init);
      if (statuses.length === 0) vi.setSystemTime(Date.now() + 16 * 60_000);
      const response = await fetch(input, init);
      if (statuses.push(response.status) === 1) vi.setSystemTime(Date.now() - 16 * 60_000);
      return response;
    };
    const { state } = await chatOf(ann, { fetch: expire }).upload(textFile('late'));
    expect([state, ...statuses]).toEqual(['READY', 403, 200]);
  });

  test('continues for longer than its URL is valid, while bytes are sent', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    // Reads a chunk every 50 seconds.
    const slow: typeof fetch = async (_input, init) => {
      const reader = (init?.body as ReadableStream).getReader();
      while (!(await reader.read()).done) {
        init?.signal?.throwIfAborted();
        await vi.advanceTimersByTimeAsync(50_000);
      }
      return new Response();
    };
    const sent: number[] = [];
    const request = { method: 'PUT', url: 'http://127.0.0.1/', headers: [] };
    const options = { fetch: slow, onSent: (bytes: number) => void sent.push(bytes), signals: [] };
    const chunks = Array.from({ length: 20 }, () => new Uint8Array(10));
    const file = { size: 200, stream: () => Readable.toWeb(Readable.from(chunks)) } as unknown as Blob;
    await sendBytes(request, file, options);
    expect([sent.length, sent.at(-1)]).toEqual([20, 200]);
  });

  test('creates a deleted upload again', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const forget = (count: number) =>
      count === 1 ? server.node.database.query(sql`DELETE FROM attachments`) : undefined;
    const attachment = await chatOf(ann, { fetch: fetchAfter(/completeUpload/, forget) }).upload(textFile('again'));
    expect(await hashOf(ann, attachment)).toBe(sha256(Buffer.from('again')));
  });

  test('sends bytes again that were changed on their way, and then fails', async () => {
    const { ann } = await world(await startTestServer());
    const change = (times: number) =>
      fetchAfter('PUT', (count, init) => {
        if (count <= times) init.body = 'other';
      });
    expect(await chatOf(ann, { fetch: change(1) }).upload(textFile('bytes'))).toMatchObject({ state: 'READY' });
    await expect(chatOf(ann, { fetch: change(9) }).upload(textFile('BYTES'))).rejects.toMatchObject({
      ...{
        code: 'CONFLICT',
        message: 'The bytes that were sent are not the ones that were announced. Send them again.',
      },
    });
    await expect.poll(() => usedBytes(ann)).toBe('bytes'.length);
  });

  test('waits for the processing of a picture, and has the reason of a rejection', async () => {
    const { ann } = await world(await startTestServer());
    const pictureOf = (bytes: Buffer) => new File([new Uint8Array(bytes)], 'dot.png', { type: 'image/png' });
    const chat = chatOf(ann);
    expect(await chat.upload(pictureOf(PNG.bytes))).toMatchObject({
      ...{ state: 'READY', url: expect.any(String), image: { width: 1, height: 1, thumbHash: expect.any(String) } },
    });
    expect(await chat.upload(pictureOf(PNG.bytes.subarray(0, 45)))).toMatchObject({
      ...{ state: 'REJECTED', rejection: 'UNREADABLE', url: null, image: null },
    });
  });

  test('resolves during a long scan, and can be cancelled before', async () => {
    const { ann, room } = await world(await startTestServer({ env: { CLAMAV: `127.0.0.1:${await freePort()}` } }));
    const controller = new AbortController();
    const cancel = (count: number) => (count === 2 ? controller.abort() : undefined);
    const cancelled = chatOf(ann, { fetch: fetchAfter(/ProcessedFile/, cancel) }).upload(textFile('cancelled'), {
      signal: controller.signal,
    });
    await expect(cancelled).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => usedBytes(ann)).toBe(0);
    const chat = chatOf(ann);
    const { id, state } = await chat.upload(textFile('scanned'));
    expect(state).toBe('PROCESSING');
    await chat.send({ chatroomId: room, body: '', attachmentIds: [id] });
  });

  test('says that a proxy does not forward /files, without retries', async () => {
    const { ann } = await world(await startTestServer());
    for (const status of [404, 405]) {
      let count = 0;
      const refuse = () => {
        count += 1;
        return new Response('Cannot PUT', { status });
      };
      const uploading = chatOf(ann, { fetch: fetchAfter('PUT', refuse) }).upload(textFile('text'));
      await expect(uploading).rejects.toMatchObject({
        ...{ code: 'UNREACHABLE', message: expect.stringContaining('does not forward /files') },
      });
      expect(count).toBe(1);
    }
    await expect.poll(() => usedBytes(ann)).toBe(0);
  });

  test('fails with the code of the server', async () => {
    const server = await startTestServer({ env: { MAX_FILE_MB: '1' } });
    const { ann } = await world(server);
    const chat = chatOf(ann);
    await expect(chat.upload(bytesFile())).rejects.toMatchObject({
      ...{
        code: 'BAD_USER_INPUT',
        path: ['input', 'byteSize'],
        message: 'The file is too large. Choose a file of at most 1 MB.',
      },
    });
    await expect(chat.upload(textFile('text'), { purpose: 'AVATAR' })).rejects.toMatchObject({
      ...{ code: 'BAD_USER_INPUT', path: ['input', 'mediaType'] },
    });
    const rejected = await chat.upload(new File(['no image'], 'x.png', { type: 'image/png' }));
    expect(rejected).toMatchObject({ state: 'REJECTED', rejection: 'NOT_WHAT_IT_SAYS', url: null });
    const signedOut = chatOf({ ...ann, accessToken: 'none' });
    await expect(signedOut.upload(textFile('text'))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  test.each([
    ['createUpload', /createUpload/] as const,
    ['PUT', 'PUT'] as const,
    ['completeUpload', /completeUpload/] as const,
  ])('is cancelled during %s', async (_name, step) => {
    const { ann } = await world(await startTestServer());
    const controller = new AbortController();
    const cancel = () => {
      controller.abort();
    };
    let discarded = 0;
    const watched: typeof fetch = async (input, init) => {
      const response = await fetchAfter(step, cancel)(input, init);
      if (typeof init?.body === 'string' && init.body.includes('DeleteUpload')) discarded += 1;
      return response;
    };
    const uploading = chatOf(ann, { fetch: watched }).upload(textFile('text'), {
      signal: controller.signal,
    });
    await expect(uploading).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => discarded).toBe(1);
    expect(await usedBytes(ann)).toBe(0);
  });

  test('is cancelled while the connection stalls or the server is away', async () => {
    const server = await startRestarting();
    const { ann } = await world(server);
    const proxy = await startCuttingProxy(ann.url, [100_000], 'silence');
    const stalled = new AbortController();
    const uploading = chatOf({ ...ann, url: proxy.url }).upload(bytesFile(), { signal: stalled.signal });
    uploading.catch(() => undefined);
    await expect.poll(() => proxy.passed[0]).toBeGreaterThanOrEqual(100_000);
    stalled.abort();
    await expect(uploading).rejects.toMatchObject({ name: 'AbortError' });
    await server.stop();
    const away = new AbortController();
    const refused = fetchAfter(/createUpload/, (count) => {
      if (count === 2) away.abort();
    });
    await expect(
      chatOf(ann, { fetch: refused }).upload(textFile('text'), { signal: away.signal }),
    ).rejects.toMatchObject({ name: 'AbortError' });
    const chat = chatOf(ann);
    const open = chat.upload(textFile('text'));
    chat.close();
    await expect(open).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('creates two attachments for two equal files', async () => {
    const { ann } = await world(await startTestServer());
    const chat = chatOf(ann);
    const files = await Promise.all(['twice', 'twice', 'twice'].map((text) => chat.upload(textFile(text))));
    expect(new Set(files.map(({ id }) => id)).size).toBe(3);
  });

  test('sets an avatar', async () => {
    const { ann, ben } = await world(await startTestServer());
    const chat = chatOf(ann);
    const picture = new File([new Uint8Array(PNG.bytes)], 'me.png', { type: 'image/png' });
    const { id } = await chat.upload(picture, { purpose: 'AVATAR' });
    await chat.execute('mutation ($id: ID) { setAvatar(input: { attachmentId: $id }) { user { id } } }', { id });
    const avatar = async () =>
      (await ben.ask('query ($id: ID!) { node(id: $id) { ... on User { avatar { url width } } } }', { id: ann.id }))
        .node.avatar;
    await expect.poll(avatar).toMatchObject({ width: 1 });
    const { url } = await avatar();
    expect((await fetch(await chatOf(ben).fileUrl(url))).status).toBe(200);
  });
});

describe('with an object store', () => {
  test('upload sends the bytes to the store, and fileUrl redirects to it', async () => {
    const store = await startS3();
    const { ann } = await world(await startTestServer({ env: store.env }));
    const targets: string[] = [];
    const chat = chatOf(ann, {
      fetch: (input, init) => {
        if (init?.method === 'PUT') targets.push(new URL(input as string).origin);
        return fetch(input, init);
      },
    });
    const { url } = await chat.upload(bytesFile());
    expect(targets).toEqual([store.env['S3_ENDPOINT']]);
    const response = await fetch(await chat.fileUrl(url ?? ''));
    expect(response.redirected).toBe(true);
    expect(sha256(Buffer.from(await response.arrayBuffer()))).toBe(sha256(BYTES));
  });

  test('upload fails if only the store is away', async () => {
    const store = await startS3();
    const { ann } = await world(await startTestServer({ env: store.env }));
    await store.stop();
    await expect(chatOf(ann).upload(textFile('text'))).rejects.toMatchObject({
      ...{ code: 'UNREACHABLE', message: 'The file cannot be sent. Check the connection and try again.' },
    });
  });
});

describe('fileUrl', () => {
  test('is readable without headers, and not after the sign-out', async () => {
    const { ann } = await world(await startTestServer());
    const chat = chatOf(ann);
    const { url } = await chat.upload(textFile('a note'));
    const shown = await chat.fileUrl(url ?? '');
    expect(await (await fetch(shown)).text()).toBe('a note');
    await chat.execute('mutation { signOut { ok } }', {});
    expect((await fetch(shown)).status).toBe(401);
  });

  test('keeps its ticket until another sign-in, or until it is about to expire', async () => {
    const { ann, ben } = await world(await startTestServer());
    let token: string | null = ann.accessToken;
    let tickets = 0;
    const chat = chatOf(ann, { getAccessToken: () => token, fetch: fetchAfter(/fileTicket/, () => (tickets += 1)) });
    const shown = () => chat.fileUrl('/files/1/preview');
    const [first, ...others] = await Promise.all([shown(), shown(), shown()]);
    expect(new Set([first, ...others]).size).toBe(1);
    // A renewed token of the same session.
    const { refreshSession } = await ann.ask(
      'mutation ($token: String!) { refreshSession(input: { refreshToken: $token }) { accessToken } }',
      { token: ann.refreshToken },
    );
    token = refreshSession.accessToken as string;
    expect([await shown(), tickets]).toEqual([first, 1]);
    token = ben.accessToken;
    const other = await shown();
    expect([other === first, tickets]).toEqual([false, 2]);
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    vi.setSystemTime(Date.now() + 54 * 60_000);
    expect(await shown()).toBe(other);
    vi.setSystemTime(Date.now() + 2 * 60_000);
    await shown().catch(() => undefined);
    expect(tickets).toBe(3);
    token = null;
    await expect(shown()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  test('adds no ticket for other servers, or if a cookie authenticates the page', async () => {
    const { ann } = await world(await startTestServer());
    const chat = chatOf(ann, { getAccessToken: () => null });
    expect(await chat.fileUrl('https://elsewhere.example/files/1')).toBe('https://elsewhere.example/files/1');
    vi.stubGlobal('location', new URL(ann.url));
    onTestFinished(() => void vi.unstubAllGlobals());
    expect(await chat.fileUrl('/files/1/preview')).toBe(`${ann.url}/files/1/preview`);
  });
});

describe('send', () => {
  const FILES = `query ($id: ID!) { chatroom(id: $id) { messages { nodes { body attachments { id } } } } }`;
  const filesOf = async (person: Person, id: string) =>
    (await person.ask(FILES, { id })).chatroom.messages.nodes as { body: string; attachments: { id: string }[] }[];

  test('keeps attachments in the outbox and in its store', async () => {
    const server = await startRestarting();
    const { ann, ben, room } = await world(server);
    const entries = new Map<string, any>();
    const outboxStore = {
      name: 'a store',
      load: () => structuredClone([...entries.values()]),
      has: ({ clientMessageId }: any) => entries.has(clientMessageId),
      put: (entry: any) => void entries.set(entry.clientMessageId, structuredClone(entry)),
      delete: ({ clientMessageId }: any) => void entries.delete(clientMessageId),
    };
    const first = chatOf(ann, { outboxStore });
    const { id } = await first.upload(textFile('a note'));
    await server.stop();
    const input = { chatroomId: room, body: '', attachmentIds: [id], clientMessageId: 'one' };
    const sends = [first.send(input), first.send({ ...input, attachmentIds: [id] })];
    for (const each of sends) each.catch(() => undefined);
    await expect(first.send({ ...input, attachmentIds: [] })).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(first.outbox.entries(room)).toMatchObject([{ body: '', attachmentIds: [id] }]);
    first.close();
    const second = chatOf(ann, { outboxStore });
    await server.start();
    await expect.poll(() => filesOf(ben, room)).toEqual([{ body: '', attachments: [{ id }] }]);
    await expect.poll(() => second.outbox.entries(room)).toEqual([]);
  });
});
