import { randomUUID } from 'node:crypto';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { bearer, PASSWORD, type Person } from './support/client.ts';
import { attach, get, PNG, sendFile, textFile } from './support/files.ts';
import { BLOCK, REMOVE } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

const TICKET = '{ viewer { fileTicket { value expiresAt } } }';
const ticketOf = async (person: Person) => (await person.ask(TICKET)).viewer.fileTicket;

/** Starts a server with a room in which ann has sent a file. */
async function sharedFile(file = textFile('0123456789')) {
  const server = await startTestServer();
  const place = await world(server);
  const message = await sendFile(place.ann, place.room, file);
  return { ...place, server, message, url: String(message.attachments[0].url) };
}

const statusOf = async (response: Promise<Response>) => (await response).status;

describe('a file can be read', () => {
  test('by its uploader before it is sent, and by no other user', async () => {
    const { ann, ben } = await world(await startTestServer());
    const { url } = await attach(ann);
    expect(await statusOf(get(ann, url))).toBe(200);
    expect(await statusOf(get(ben, url))).toBe(404);
  });

  test('until the reader is removed from the room', async () => {
    const { ann, ben, room, url } = await sharedFile();
    expect(await statusOf(get(ben, url))).toBe(200);
    await ann.ask(REMOVE, { id: room, user: ben.id });
    expect(await statusOf(get(ben, url))).toBe(404);
    expect(await statusOf(get(ann, url))).toBe(200);
  });

  test('until the reader blocks its sender', async () => {
    const { ann, ben, url } = await sharedFile();
    await ben.ask(BLOCK, { id: ann.id });
    expect(await statusOf(get(ben, url))).toBe(404);
    // The blocked user cannot tell.
    expect(await statusOf(get(ann, url))).toBe(200);
  });

  test('until its message is deleted', async () => {
    const { ann, ben, message, url } = await sharedFile();
    await ann.ask(
      'mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { attachments { id } } } }',
      {
        id: message.id,
      },
    );
    expect(await statusOf(get(ben, url))).toBe(404);
    expect(await statusOf(get(ann, url))).toBe(404);
  });

  test('until the session ends, on every node', async () => {
    const { ben, server, url } = await sharedFile();
    const other = await startTestServer({ databaseUrl: server.databaseUrl });
    const { value } = await ticketOf(ben);
    const withTicket = () => statusOf(fetch(`${other.url}${url}?ticket=${value}`));
    expect(await withTicket()).toBe(200);
    expect(await statusOf(get(ben.at(other.url), url))).toBe(200);
    await ben.ask('mutation { signOut { ok } }');
    expect(await statusOf(get(ben, url))).toBe(401);
    await expect.poll(withTicket, { timeout: 1_500 }).toBe(401);
    await expect.poll(() => statusOf(get(ben.at(other.url), url)), { timeout: 1_500 }).toBe(401);
  });
});

test('a ticket reads files for an hour on behalf of its session', async () => {
  const { ann, ben, eve, url } = await sharedFile();
  const { value, expiresAt } = await ticketOf(ben);
  expect(Math.round((Date.parse(expiresAt) - Date.now()) / 60_000)).toBe(60);
  const withTicket = (ticket: string) => statusOf(fetch(`${ann.url}${url}?ticket=${ticket}`));
  expect(await withTicket(value)).toBe(200);
  expect(await withTicket((await ticketOf(eve)).value)).toBe(404);
  expect(await withTicket(`${value}x`)).toBe(401);
  // An access token is no ticket, and a ticket is no access token.
  expect(await withTicket(ben.accessToken)).toBe(401);
  expect(await statusOf(get({ ...ben, accessToken: value }, url))).toBe(401);
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61 * 60_000 });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  expect(await withTicket(value)).toBe(401);
});

test('a browser reads files with its cookie', async () => {
  const { ann, ben, room, server, url } = await sharedFile();
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: server.url },
    body: JSON.stringify({
      query: `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }`,
      variables: { input: { usernameOrEmail: 'ben', password: PASSWORD, cookie: true } },
    }),
  });
  const cookies = response.headers.getSetCookie();
  const sent = cookies.filter((cookie) => /path=\/files/i.test(cookie)).map((cookie) => cookie.split(';')[0] ?? '');
  expect(sent).toHaveLength(1);
  const withCookie = (headers = {}) =>
    statusOf(fetch(`${server.url}${url}`, { headers: { cookie: sent.join('; '), ...headers } }));
  expect(await withCookie()).toBe(200);
  expect(await withCookie({ origin: 'https://evil.example.org' })).toBe(401);
  const head = { method: 'HEAD', headers: { cookie: sent.join('; ') } };
  expect(await statusOf(fetch(`${server.url}${url}`, head))).toBe(200);
  await ann.ask(REMOVE, { id: room, user: ben.id });
  expect(await withCookie()).toBe(404);
});

const RANGES = [
  ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
  ['bytes=4-', 206, '456789', 'bytes 4-9/10'],
  ['bytes=-2', 206, '89', 'bytes 8-9/10'],
  ['bytes=-10', 206, '0123456789', 'bytes 0-9/10'],
  ['bytes=-100', 206, '0123456789', 'bytes 0-9/10'],
  ['bytes=-0', 416, expect.any(String), 'bytes */10'],
  ['bytes=5-100', 206, '56789', 'bytes 5-9/10'],
  ['bytes=10-', 416, expect.any(String), 'bytes */10'],
  ['bytes=0-1,4-5', 200, '0123456789', null],
  ['bytes=x', 200, '0123456789', null],
  ['lines=1-2', 200, '0123456789', null],
] as const;
test('a request for a range has the status and the bytes of that range', async () => {
  const { ben, url } = await sharedFile();
  for (const [range, status, body, contentRange] of RANGES) {
    const response = await get(ben, url, { range });
    expect(response.status, range).toBe(status);
    expect(response.headers.get('content-range'), range).toBe(contentRange);
    expect(await response.text(), range).toEqual(body);
  }
});

test('a file is stored by browsers, and revalidated each time', async () => {
  const { ann, ben, room, url } = await sharedFile();
  const response = await get(ben, url);
  expect(response.headers.get('cache-control')).toBe('private, no-cache');
  const etag = response.headers.get('etag') ?? '';
  expect((await get(ben, url, { 'if-none-match': etag })).status).toBe(304);
  expect((await get(ben, url, { range: 'bytes=0-1', 'if-range': etag })).status).toBe(206);
  expect((await get(ben, url, { range: 'bytes=0-1', 'if-range': '"other"' })).status).toBe(200);
  const head = await fetch(`${ben.url}${url}`, { method: 'HEAD', headers: bearer(ben) });
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '10']);
  const headers = { ...bearer(ben), range: 'bytes=0-1' };
  expect((await fetch(`${ben.url}${url}`, { method: 'HEAD', headers })).status).toBe(200);
  await ann.ask(REMOVE, { id: room, user: ben.id });
  expect((await get(ben, url, { 'if-none-match': etag })).status).toBe(404);
});

const SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>';
const DOWNLOADS = [
  ['page.html', 'text/html', '<!doctype html><script>alert(1)</script>'],
  ['drawing.svg', 'image/svg+xml', SVG],
  ['data.xml', 'application/xml', '<?xml version="1.0"?><x/>'],
  ['paper.pdf', 'application/pdf', '%PDF-1.7\n1 0 obj\n<<>>\nendobj\n'],
  ['unknown', '', '\u0001\u0002\u0003'],
  ['script.js', 'text/javascript', 'alert(1)'],
  ['old.js', 'application/x-javascript', 'alert(1)'],
  ['style.css', 'text/css', '* { background: url(/x) }'],
  ['ünï "quoted" 写真.txt', 'text/plain', 'words'],
] as const;
test('a file that could execute is served as a download in a sandbox', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  for (const [fileName, mediaType, text] of DOWNLOADS) {
    const { attachments } = await sendFile(ann, room, { fileName, mediaType, bytes: Buffer.from(text) });
    const response = await get(ben, attachments[0].url);
    expect(response.status, fileName).toBe(200);
    const disposition = response.headers.get('content-disposition') ?? '';
    expect(disposition).toMatch(/^attachment; filename=/);
    if (/[^\x20-\x7e]/.test(fileName))
      expect(disposition).toContain(`filename*=UTF-8''${encodeURIComponent(fileName)}`);
    expect(response.headers.get('content-type'), fileName).not.toMatch(/script|css/);
    expect(response.headers.get('x-content-type-options'), fileName).toBe('nosniff');
    expect(response.headers.get('content-security-policy'), fileName).toBe('sandbox');
  }
});

test('a picture is shown in the page, without executing anything', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  const { attachments } = await sendFile(ann, room, PNG);
  const url = attachments[0].url ?? `/files/${keyInId(attachments[0].id)}/original`;
  await expect.poll(() => statusOf(get(ben, url))).toBe(200);
  const { headers } = await get(ben, url);
  expect(headers.get('content-type')).toBe('image/png');
  expect(headers.get('content-disposition')).toMatch(/^inline/);
  expect(headers.get('x-content-type-options')).toBe('nosniff');
});

const keyInId = (id: string) => Buffer.from(id, 'base64url').toString().replace('Attachment:', '');

test('other paths and methods are refused', async () => {
  const { ben, url } = await sharedFile();
  const paths = [
    ...[
      '/files/',
      '/files/x/original',
      `/files/${randomUUID()}/original`,
      `${url}/`,
      `${url}x`,
      '/files/../package.json',
    ],
    ...[url.replace('original', 'preview'), url.replace('original', '..'), '/files/uploads', `/files/%2e%2e/original`],
  ];
  for (const path of paths) expect([path, await statusOf(get(ben, path))]).toEqual([path, 404]);
  expect(await statusOf(fetch(`${ben.url}${url}`))).toBe(401);
  expect(await statusOf(fetch(`${ben.url}${url}`, { method: 'DELETE', headers: bearer(ben) }))).toBe(405);
  expect(await statusOf(fetch(`${ben.url}/files/uploads/${randomUUID()}`, { method: 'PUT', body: 'x' }))).toBe(403);
});

test('no proxy stores the refusal of one user for others', async () => {
  const { ben, eve, url } = await sharedFile();
  const [refused, read] = [await get(eve, url), await get(ben, url)];
  expect([refused.status, refused.headers.get('cache-control')]).toEqual([404, 'no-store']);
  // The response to a page of another origin has other headers.
  expect([refused.headers.get('vary'), read.headers.get('vary')]).toEqual(['origin', 'origin']);
});

test('pages of ALLOWED_ORIGINS may send and read files', async () => {
  const origin = 'https://app.example.org';
  const server = await startTestServer({ env: { ALLOWED_ORIGINS: origin } });
  const { ann } = await world(server);
  const { url } = await attach(ann);
  const preflight = await fetch(`${server.url}${url}`, { method: 'OPTIONS', headers: { origin } });
  expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, origin]);
  expect(preflight.headers.get('access-control-allow-methods')).toContain('PUT');
  const other = await get(ann, url, { origin: 'https://evil.example.org' });
  expect(other.headers.get('access-control-allow-origin')).toBeNull();
});

test('FILES=off refuses uploads and leaves the rest unchanged', async () => {
  const { ann } = await world(await startTestServer({ env: { FILES: 'off' } }));
  const { server } = await ann.ask('{ server { features } }');
  expect(server.features).not.toContain('attachments');
  await expect(attach(ann)).rejects.toThrow('This server stores no files.');
});
