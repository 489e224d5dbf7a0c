import http from 'node:http';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import { wav } from './files/inputs.ts';
import { bearer, type Person, request } from './support/client.ts';
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
  SEND_FILES,
  sendFile,
  sha256,
  type TestFile,
  textFile,
} from './support/files.ts';
import { BLOCK, createRoom } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { cursorOf, send, world } from './support/world.ts';

const EVENTS = `subscription ($room: ID!, $after: String) { chatroomEvents(chatroomId: $room, after: $after) {
  __typename cursor ... on MessageAdded { message { number attachments { state url } } }
  ... on AttachmentsChanged { message { number attachments { state rejection url } } } } }`;

/** Returns the first error of an operation. */
async function errorOf(person: Person, query: string, variables: object): Promise<any> {
  const { errors } = await request(person.url, query, variables, bearer(person));
  return errors?.[0]?.extensions;
}

/** Sends a message with attachments, and returns the error code or the message. */
async function trySend(person: Person, room: string, attachmentIds: string[], more: object = {}): Promise<any> {
  const input = { chatroomId: room, body: '', attachmentIds, ...more };
  const { data, errors } = await request(person.url, SEND_FILES, { input }, bearer(person));
  return errors ? errors[0]?.extensions.code : data.sendMessage;
}

describe('an upload', () => {
  test('becomes an attachment that members read', async () => {
    const { ann, ben, eve, room } = await world(await startTestServer());
    const file = textFile('hello, file');
    const upload = await createUpload(ann, file);
    expect(upload).toMatchObject({ state: 'OPEN', method: 'PUT' });
    expect((await put(ann, upload, file.bytes)).status).toBe(200);
    const attachment = await complete(ann, upload);
    expect(attachment).toMatchObject({
      ...{ fileName: 'note.txt', mediaType: 'text/plain', byteSize: 11, sha256: sha256(file.bytes) },
      ...{ state: 'READY', rejection: null, image: null, durationMs: null },
    });
    const { message } = await trySend(ann, room, [attachment.id]);
    expect(message).toMatchObject({ number: 1, body: '', attachments: [{ id: attachment.id, url: attachment.url }] });
    expect(await (await get(ben, attachment.url)).text()).toBe('hello, file');
    expect((await get(eve, attachment.url)).status).toBe(404);
  });

  test('has the duration of a sound', async () => {
    const { ann } = await world(await startTestServer());
    const file = { fileName: 'voice.wav', mediaType: 'audio/wav', bytes: wav(2_300) };
    expect(await attach(ann, file)).toMatchObject({ state: 'READY', mediaType: 'audio/wav', durationMs: 2_300 });
    const broken = { ...file, bytes: wav(2_300).subarray(0, 20) };
    expect(await attach(ann, broken)).toMatchObject({ state: 'READY', durationMs: null });
  });

  test('returns the same result when a step is repeated', async () => {
    const { ann, room } = await world(await startTestServer());
    const file = textFile();
    const upload = await createUpload(ann, file);
    expect((await createUpload(ann, file)).id).toBe(upload.id);
    expect((await put(ann, upload, file.bytes)).status).toBe(200);
    expect((await put(ann, upload, file.bytes)).status).toBe(200);
    const attachments = await Promise.all([complete(ann, upload), complete(ann, upload), complete(ann, upload)]);
    attachments.push(await complete(ann, upload));
    expect(new Set(attachments.map((attachment) => JSON.stringify(attachment))).size).toBe(1);
    // The bytes are ignored, because they have been checked.
    expect((await put(ann, upload, file.bytes)).status).toBe(200);
    const ids = [attachments[0].id];
    const sent = await trySend(ann, room, ids, { clientMessageId: 'one' });
    const again = await trySend(ann, room, ids, { clientMessageId: 'one' });
    expect(again).toEqual({ ...sent, deduplicated: true });
    expect(await trySend(ann, room, [], { body: 'a word', clientMessageId: 'one' })).toBe('CONFLICT');
  });

  test('stays open after other bytes than announced', async () => {
    const { ann } = await world(await startTestServer());
    const file = textFile('the right bytes');
    const upload = await createUpload(ann, file);
    expect(await ann.askForErrorCode(COMPLETE_UPLOAD, { id: upload.id })).toBe('CONFLICT');
    await put(ann, upload, Buffer.from('the wrong bytes'));
    expect(await ann.askForErrorCode(COMPLETE_UPLOAD, { id: upload.id })).toBe('CONFLICT');
    await put(ann, upload, file.bytes);
    expect(await complete(ann, upload)).toMatchObject({ state: 'READY' });
  });

  test('refuses a request that was altered, has expired or has another length', async () => {
    const { node, ...server } = await startTestServer();
    const { ann } = await world(server);
    const file = textFile('ten bytes.');
    const upload = await createUpload(ann, file);
    const other = await createUpload(ann, textFile('another'));
    const otherUrl = upload.url.replace(keyOf('Upload', upload.id), keyOf('Upload', other.id));
    expect((await put(ann, { ...upload, url: otherUrl }, file.bytes)).status).toBe(403);
    expect((await put(ann, { ...upload, url: `${upload.url}x` }, file.bytes)).status).toBe(403);
    expect((await put(ann, upload, Buffer.from('eleven bytes'))).status).toBe(413);
    expect((await put(ann, upload, Buffer.from('nine'))).status).toBe(400);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 16 * 60_000 });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const token = await node.fileTokens.signUpload(keyOf('Upload', upload.id) ?? '');
    vi.useRealTimers();
    const [path] = upload.url.split('?');
    expect((await put(ann, { ...upload, url: `${path}?token=${token}` }, file.bytes)).status).toBe(403);
    expect(await ann.askForErrorCode(COMPLETE_UPLOAD, { id: upload.id })).toBe('CONFLICT');
  });

  test('without a Content-Length is cut off behind the announced size', async () => {
    const { ann } = await world(await startTestServer());
    const upload = await createUpload(ann, textFile('short'));
    const body = new Blob(['x'.repeat(1_000_000)]).stream();
    const sent = fetch(new URL(upload.url, ann.url), { method: 'PUT', body, duplex: 'half' } as RequestInit);
    expect(
      await sent.then(
        ({ status }) => status,
        () => 413,
      ),
    ).toBe(413);
    expect(await ann.askForErrorCode(COMPLETE_UPLOAD, { id: upload.id })).toBe('CONFLICT');
  });

  test('writes no error to the log if the client cancels it', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    const server = await startTestServer({ log });
    const { ann } = await world(server);
    const upload = await createUpload(ann, textFile('0123456789'));
    const stored = async () => (await Readable.from(server.node.files!.list('uploads')).toArray()).length;
    const headers = { 'content-length': '10' };
    const sending = http.request(new URL(upload.url, ann.url), { method: 'PUT', headers }).on('error', () => undefined);
    sending.write('01234');
    await expect.poll(stored).toBe(1);
    sending.destroy();
    await expect.poll(stored).toBe(0);
    await server.stop();
    expect(lines).toEqual([]);
  });

  test('is visible to its owner only', async () => {
    const { ann, ben } = await world(await startTestServer());
    const upload = await createUpload(ann, textFile());
    expect(await ben.askForErrorCode(COMPLETE_UPLOAD, { id: upload.id })).toBe('NOT_FOUND');
    const NODE = 'query ($id: ID!) { node(id: $id) { ... on Upload { state headers { name value } } } }';
    expect(await ann.ask(NODE, { id: upload.id })).toMatchObject({ node: { state: 'OPEN' } });
    expect(await ben.ask(NODE, { id: upload.id })).toEqual({ node: null });
  });
});

test.each([
  ['fileName', ''],
  ['fileName', 'x'.repeat(256)],
  ['fileName', 'a\nb.txt'],
  ['fileName', 'photo\u202Egpj.exe'],
  ['fileName', 'a\0b'],
  ['byteSize', 0],
  ['byteSize', -1],
  ['byteSize', 25 * 1_024 * 1_024 + 1],
  ['sha256', 'abc'],
  ['sha256', sha256(Buffer.from('x')).toUpperCase()],
  ['mediaType', 'image'],
  ['mediaType', 'image/jpeg\r\nx-evil: 1'],
  ['mediaType', `image/${'x'.repeat(200)}`],
])('createUpload refuses %s=%j', async (name, value) => {
  const { ann } = await world(await startTestServer());
  const input = { ...inputOf(textFile()), [name]: value };
  expect(await errorOf(ann, CREATE_UPLOAD, { input })).toMatchObject({ code: 'BAD_USER_INPUT', path: ['input', name] });
});

test('createUpload accepts long names in any script', async () => {
  const { ann } = await world(await startTestServer());
  for (const fileName of ['x', '写真'.repeat(127), '😀'.repeat(255), 'مستند.pdf', '../../etc/passwd'])
    expect(await createUpload(ann, textFile('same', fileName))).toMatchObject({ state: 'OPEN' });
});

test('createUpload refuses an avatar that is no image', async () => {
  const { ann } = await world(await startTestServer());
  const input = inputOf({ ...textFile(), purpose: 'AVATAR' });
  expect(await errorOf(ann, CREATE_UPLOAD, { input })).toMatchObject({ path: ['input', 'mediaType'] });
});

test('createUpload refuses the 101st open upload', async () => {
  const { node, ...server } = await startTestServer();
  const { ann, ben } = await world(server);
  await node.database.query(sql`
    INSERT INTO attachments (user_id, file_name, media_type, byte_size, sha256)
      SELECT ${keyOf('User', ann.id)}::uuid, 'x', 'text/plain', 1, ''::bytea FROM generate_series(1, 100)`);
  const input = inputOf(textFile());
  expect(await errorOf(ann, CREATE_UPLOAD, { input })).toMatchObject({ code: 'LIMIT_REACHED', limit: 100 });
  await createUpload(ben, textFile());
});

test('createUpload refuses a file beyond the storage of the user', async () => {
  const { ann, room } = await world(await startTestServer({ env: { MAX_USER_STORAGE_MB: '1' } }));
  const STORAGE = '{ viewer { storage { usedBytes maxBytes } } }';
  const half = (text: string) => textFile(text.repeat(524_288), `${text}.txt`);
  const { message } = { message: await sendFile(ann, room, half('a')) };
  await attach(ann, half('b'));
  expect(await ann.ask(STORAGE)).toEqual({ viewer: { storage: { usedBytes: 1_048_576, maxBytes: 1_048_576 } } });
  const input = inputOf(textFile('c'));
  expect(await errorOf(ann, CREATE_UPLOAD, { input })).toMatchObject({ code: 'LIMIT_REACHED', limit: 1_048_576 });
  await ann.ask('mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }', {
    id: message.id,
  });
  await createUpload(ann, textFile('c'));
  expect((await ann.ask(STORAGE)).viewer.storage.usedBytes).toBe(524_289);
});

describe('sendMessage', () => {
  test('keeps the order of at most 10 attachments', async () => {
    const { ann, room } = await world(await startTestServer());
    const names = Array.from({ length: 11 }, (_, i) => `${i}.txt`);
    const ids: string[] = [];
    for (const name of names) ids.push((await attach(ann, textFile(name, name))).id);
    expect(await trySend(ann, room, ids)).toBe('BAD_USER_INPUT');
    const shuffled = [3, 1, 9, 0, 2, 8, 4, 7, 5, 6].map((i) => ids[i] ?? '');
    const { message } = await trySend(ann, room, shuffled);
    expect(message.attachments.map(({ id }: { id: string }) => id)).toEqual(shuffled);
  });

  test('stores an attachment in exactly one of several messages', async () => {
    const { ann, room } = await world(await startTestServer());
    const other = await createRoom(ann, { kind: 'GROUP', name: 'Other' });
    const [one, two] = [await attach(ann, textFile('1')), await attach(ann, textFile('2'))];
    const sends = [room, other, room, other].flatMap((to) => [
      trySend(ann, to, [one.id, two.id]),
      trySend(ann, to, [two.id, one.id]),
    ]);
    const results = await Promise.all(sends);
    expect(results.filter((result) => typeof result === 'object')).toHaveLength(1);
    expect(results.filter((result) => result === 'NOT_FOUND')).toHaveLength(7);
    const { data } = await request(
      ann.url,
      '{ viewer { chatrooms { nodes { messages { nodes { number } } } } } }',
      {},
      bearer(ann),
    );
    expect(data.viewer.chatrooms.nodes.flatMap((found: any) => found.messages.nodes)).toHaveLength(1);
  });

  test('refuses attachments that the viewer may not send', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const { id } = await attach(ann);
    expect(await trySend(ben, room, [id])).toBe('NOT_FOUND');
    expect(await trySend(ann, room, [id, id])).toBe('BAD_USER_INPUT');
    expect(await trySend(ann, room, [ann.id])).toBe('NOT_FOUND');
    expect(await trySend(ann, room, [])).toBe('BAD_USER_INPUT');
    expect(await trySend(ann, room, [id], { body: ' ' })).toBe('BAD_USER_INPUT');
    const open = await createUpload(ann, textFile('open'));
    const openId = Buffer.from(`Attachment:${keyOf('Upload', open.id)}`).toString('base64url');
    expect(await trySend(ann, room, [openId])).toBe('NOT_FOUND');
    const avatar = await attach(ann, { ...PNG, purpose: 'AVATAR' });
    expect(await trySend(ann, room, [avatar.id])).toBe('NOT_FOUND');
    const rejected = await attach(ann, { ...textFile('no image', 'x.png'), mediaType: 'image/png' });
    expect(rejected).toMatchObject({ state: 'REJECTED', rejection: 'NOT_WHAT_IT_SAYS', url: null });
    expect(await trySend(ann, room, [rejected.id])).toBe('NOT_FOUND');
    expect(await trySend(ann, room, [id], { body: 'with words' })).toMatchObject({ message: { body: 'with words' } });
  });
});

describe('an image', () => {
  test('is announced while it is processed, and again when it is ready', async () => {
    const { node, ...server } = await startTestServer();
    const { ann, ben, room } = await world(server);
    // The processing waits until the message is sent.
    const process = node.images.processImage.bind(node.images);
    let release: () => void = () => undefined;
    const sent = new Promise<void>((resolve) => (release = resolve));
    node.images.processImage = async (image) => sent.then(() => process(image));
    const start = await cursorOf(ben, room);
    const live = ben.connect().subscribe(EVENTS, { room });
    await live.ready();
    const message = await sendFile(ann, room, PNG);
    expect(message.attachments).toMatchObject([{ state: 'PROCESSING', url: null }]);
    const added = await live.next();
    expect(added).toMatchObject({
      __typename: 'MessageAdded',
      message: { number: 1, attachments: [{ state: 'PROCESSING', url: null }] },
    });
    const { key = '' } =
      /(?<key>[\da-f-]{36})$/.exec(Buffer.from(message.attachments[0].id, 'base64url').toString())?.groups ?? {};
    expect((await get(ann, `/files/${key}/original`)).status).toBe(404);
    release();
    const changed = await live.next();
    expect(changed).toMatchObject({
      __typename: 'AttachmentsChanged',
      message: { number: 1, attachments: [{ state: 'READY', rejection: null }] },
    });
    const [{ url }] = changed.message.attachments;
    expect((await get(ben, url)).status).toBe(200);
    // A resume from every cursor passes through the event.
    const fromStart = ben.connect().subscribe(EVENTS, { room, after: start });
    expect((await fromStart.take(3)).map(({ __typename }) => __typename)).toEqual([
      ...['MessageAdded', 'AttachmentsChanged', 'CaughtUp'],
    ]);
    const fromMessage = ben.connect().subscribe(EVENTS, { room, after: added.cursor });
    expect((await fromMessage.take(2)).map(({ __typename }) => __typename)).toEqual(['AttachmentsChanged', 'CaughtUp']);
    const fromEnd = ben.connect().subscribe(EVENTS, { room, after: changed.cursor });
    expect(await fromEnd.next()).toMatchObject({ __typename: 'CaughtUp' });
  });

  test('that is not what it says is rejected', async () => {
    const { ann } = await world(await startTestServer());
    const claims: [TestFile, string][] = [
      [{ ...PNG, mediaType: 'image/jpeg' }, 'REJECTED'],
      [{ ...PNG, mediaType: 'text/plain' }, 'REJECTED'],
      [{ ...textFile('<html>'), mediaType: 'image/png' }, 'REJECTED'],
      [{ ...PNG, mediaType: 'application/octet-stream' }, 'PROCESSING'],
      [{ ...PNG, mediaType: 'image/png' }, 'PROCESSING'],
    ];
    for (const [file, state] of claims) {
      const attachment = await attach(ann, file);
      expect([file.mediaType, attachment.state === 'READY' ? 'PROCESSING' : attachment.state]).toEqual([
        file.mediaType,
        state,
      ]);
    }
  });
});

test('Message.attachments is executed once for all subscribers', async () => {
  const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
  const { ann, ben, room } = await world(server);
  const cost = async (count: number) => {
    const streams = Array.from({ length: count }, (_, i) => (i % 2 ? ann : ben).connect().subscribe(EVENTS, { room }));
    for (const stream of streams) await stream.ready();
    await sendFile(ann, room, textFile(`to ${count}`));
    const before = server.node.counters.websocket.unshared;
    const { id } = await attach(ann, textFile(`again to ${count}`));
    server.statements();
    // The payload does not select the attachments.
    await send(ann, room, 'a file', { attachmentIds: [id] });
    const events = await Promise.all(streams.map((stream) => stream.take(2)));
    expect(new Set(events.map((event) => JSON.stringify(event))).size).toBe(1);
    expect(events[0]?.[1].message.attachments).toMatchObject([{ state: 'READY' }]);
    expect(server.node.counters.websocket.unshared).toBe(before);
    for (const stream of streams) stream.stop();
    await Promise.all(streams.map((stream) => stream.ended));
    return server.statements().filter((text) => text.includes('JOIN attachments a')).length;
  };
  expect([await cost(1), await cost(20)]).toEqual([1, 1]);
});

test('a message without attachments costs no read of attachments', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const HISTORY = 'query ($id: ID!) { chatroom(id: $id) { messages { nodes { body attachments { id } } } } }';
  await ann.ask(SEND_FILES, { input: { chatroomId: room, body: 'words' } });
  await ann.ask(HISTORY, { id: room });
  server.statements();
  await ann.ask(HISTORY, { id: room });
  expect(server.statements().filter((text) => text.includes('attachments a'))).toEqual([]);
});

describe('Chatroom.attachments', () => {
  const GALLERY = `query ($id: ID!, $kind: AttachmentKind, $first: Int, $after: String, $last: Int) {
    chatroom(id: $id) { attachments(kind: $kind, first: $first, after: $after, last: $last) {
      nodes { fileName } pageInfo { endCursor hasNextPage } } } }`;
  const names = ({ chatroom }: any) => chatroom.attachments.nodes.map(({ fileName }: any) => fileName);

  test('lists the files of a room, newest first, by kind', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    await sendFile(ann, room, textFile('1', '1.txt'));
    await sendFile(ben, room, PNG);
    const ids = [await attach(ann, textFile('3', '3.txt')), await attach(ann, textFile('4', '4.txt'))].map(
      ({ id }) => id,
    );
    await trySend(ann, room, ids);
    expect(names(await ben.ask(GALLERY, { id: room }))).toEqual(['4.txt', '3.txt', 'dot.png', '1.txt']);
    expect(names(await ben.ask(GALLERY, { id: room, kind: 'IMAGE' }))).toEqual(['dot.png']);
    expect(names(await ben.ask(GALLERY, { id: room, kind: 'AUDIO' }))).toEqual([]);
    const paged: string[] = [];
    let after: string | null = null;
    do {
      const page: any = await ben.ask(GALLERY, { id: room, kind: 'FILE', first: 2, after });
      paged.push(...names(page));
      after = page.chatroom.attachments.pageInfo.hasNextPage ? page.chatroom.attachments.pageInfo.endCursor : null;
    } while (after !== null);
    expect(paged).toEqual(['4.txt', '3.txt', '1.txt']);
    expect(names(await ben.ask(GALLERY, { id: room, last: 2 }))).toEqual(['dot.png', '1.txt']);
  });

  test('leaves out files of blocked users, and is null for others', async () => {
    const { ann, ben, eve, room } = await world(await startTestServer());
    await sendFile(ben, room, textFile('b', 'b.txt'));
    await sendFile(ann, room, textFile('a', 'a.txt'));
    await ann.ask(BLOCK, { id: ben.id });
    expect(names(await ann.ask(GALLERY, { id: room }))).toEqual(['a.txt']);
    expect(names(await ben.ask(GALLERY, { id: room }))).toEqual(['a.txt', 'b.txt']);
    const open = await createRoom(ann, { kind: 'OPEN', name: 'Open' });
    expect(await eve.ask(GALLERY, { id: open })).toEqual({ chatroom: { attachments: null } });
  });
});
