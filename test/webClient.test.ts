import { EventEmitter, once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { isPublicAddress } from '../src/platform/web/addresses.ts';
import { fetchPage } from '../src/platform/web/pages.ts';
import { createWebClient, type WebOptions } from '../src/platform/web/webClient.ts';
import { MAX_STALL_MS } from './support/stall.ts';
import { onPublic, PUBLIC, serve } from './support/web.ts';

/** Returns a client that may also connect to the web of the tests. */
const clientOf = (port: number, options: WebOptions = {}) =>
  createWebClient({
    ...{ ports: [80, 443, port], allowsAddress: (address) => address === PUBLIC || isPublicAddress(address) },
    ...options,
  });

/** Serves one page and fetches its metadata. */
async function metadataOf(body: string | Buffer, headers: Record<string, string> = {}, status = 200) {
  const port = await serve((_, response) => {
    response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', ...headers }).end(body);
  });
  return fetchPage(clientOf(port), onPublic(port, '/articles/1'));
}

const page = (head: string) => `<!doctype html><html><head>${head}</head><body><p>Text.</p></body></html>`;

describe('the metadata of a page', () => {
  test('prefers Open Graph to Twitter and HTML', async () => {
    const head = `<title>HTML</title><meta name="twitter:title" content="Twitter">
      <meta property="og:title" content="Open &amp; Graph"><meta property="og:title" content="Second">
      <meta name="description" content="HTML"><meta name="twitter:description" content=" Two
      lines "><meta property="og:site_name" content="Site"><meta property="og:image" content="/a.png">`;
    const metadata = await metadataOf(page(head));
    expect(metadata).toMatchObject({ title: 'Open & Graph', description: 'Two lines', siteName: 'Site' });
    expect(metadata?.imageUrl).toMatch(/^http:\/\/.+:\d+\/a\.png$/);
  });

  test('is the title if there is nothing else', async () => {
    const metadata = await metadataOf(page('<title> A <b>title </title><script>"<title>no</title>"</script>'));
    expect(metadata).toEqual({ title: 'A <b>title', description: null, siteName: null, imageUrl: null });
  });

  test('does not exist without title and description', async () => {
    expect(await metadataOf(page('<meta property="og:image" content="/a.png">'))).toBeNull();
    expect(await metadataOf('<body><title>In the body</title>')).toBeNull();
  });

  test.each([
    ['the header', 'text/html; charset=Shift_JIS', ''],
    ['a meta element', 'text/html', '<meta charset="shift_jis">'],
    ['a pragma', 'text/html', '<meta http-equiv="Content-Type" content="text/html; charset=x-sjis">'],
  ])('has the charset of %s', async (_, type, meta) => {
    const title = Buffer.from([0x93, 0xfa, 0x96, 0x7b]); // 日本 in Shift_JIS
    const [start = '', end = ''] = page(`${meta}<title>|</title>`).split('|');
    const body = Buffer.concat([Buffer.from(start), title, Buffer.from(end)]);
    expect(await metadataOf(body, { 'content-type': type })).toMatchObject({ title: '日本' });
  });

  test.each([
    ['windows-1251', Buffer.from([0xcf, 0xf0, 0xe8]), 'При'],
    ['utf-16le', Buffer.from('При', 'utf16le'), 'При'],
    ['gb18030', Buffer.from([0xd6, 0xd0]), '中'],
    ['unknown', Buffer.from('При'), 'При'],
  ])('has the charset %s of the header', async (charset, title, expected) => {
    const wide = (text: string) => Buffer.from(text, charset === 'utf-16le' ? 'utf16le' : 'latin1');
    const [start = '', end = ''] = page('<title>|</title>').split('|');
    const body = Buffer.concat([wide(start), title, wide(end)]);
    expect(await metadataOf(body, { 'content-type': `text/html; charset=${charset}` })).toMatchObject({
      title: expected,
    });
  });

  test.each(['utf8', 'utf16le'] as const)('has the charset of a byte order mark in %s', async (encoding) => {
    const body = Buffer.from(`\uFEFF${page('<title>日本</title>')}`, encoding);
    expect(await metadataOf(body, { 'content-type': 'text/html' })).toMatchObject({ title: '日本' });
  });

  test('does not exist in a charset that is no longer allowed', async () => {
    for (const charset of ['iso-2022-kr', 'hz-gb-2312', 'replacement'])
      for (const length of [0, 2_000, 100_000]) {
        const body = page(`<title>x</title>${' '.repeat(length)}`);
        expect(await metadataOf(body, { 'content-type': `text/html; charset=${charset}` })).toBeNull();
        const meta = page(`<meta charset=${charset}><title>x</title>${' '.repeat(length)}`);
        await metadataOf(meta, { 'content-type': 'text/html' });
      }
  });

  test('has no control characters and is cut', async () => {
    const title = `a\u202Eb\u0007c${'👩‍👩‍👧'.repeat(100)}`;
    const metadata = await metadataOf(page(`<title>${title}</title>`));
    expect(metadata?.title).toMatch(/^ab c(👩‍👩‍👧)+$/u);
    expect(Array.from(metadata?.title ?? '').length).toBeLessThanOrEqual(300);
  });

  test('does not exist without a visible character', async () => {
    const blank = '\u200B\u00AD&#x2800; ';
    expect(await metadataOf(page(`<title>${blank.repeat(50)}</title>`))).toBeNull();
    const name = `<meta property="og:site_name" content="${blank}">`;
    expect(await metadataOf(page(`<title>${blank}x</title>${name}`))).toMatchObject({ siteName: null });
  });

  test('is read from compressed pages', async () => {
    const body = gzipSync(page('<title>Small</title>'));
    expect(await metadataOf(body, { 'content-encoding': 'gzip' })).toMatchObject({ title: 'Small' });
    expect(await metadataOf(body.subarray(0, -20), { 'content-encoding': 'gzip' })).toMatchObject({ title: 'Small' });
    expect(await metadataOf(body, { 'content-encoding': 'compress' })).toBeNull();
  });

  test('does not exist for errors and other types', async () => {
    const html = page('<title>No</title>');
    expect(await metadataOf(html, {}, 404)).toBeNull();
    expect(await metadataOf(html, { 'content-type': 'application/json' })).toBeNull();
    expect(await metadataOf(html, { 'content-type': 'text/htmlish' })).toBeNull();
  });
});

describe('a page of 1 MB', () => {
  test.each([
    ['nested elements', `<title>Deep</title>${'<i>'.repeat(300_000)}`],
    ['end tags without elements', `<title>Deep</title>${'<i>'.repeat(160_000)}${'</b>'.repeat(120_000)}`],
    ['nested SVG elements', `<title>Deep</title>${'<svg>'.repeat(90_000)}${'</foreignobject>'.repeat(30_000)}`],
    ['attributes', `<title>Deep</title><meta ${Array.from({ length: 120_000 }, (_, i) => `a${i} `).join('')}>`],
    ['character references', `<title>Deep</title><meta name="description" content="${'&amp;'.repeat(190_000)}">`],
    ['white space', `<title>${'\n x '.repeat(240_000)}`],
    ['invisible characters', `<title>Deep</title><meta name="description" content="${'\u200B'.repeat(320_000)}x">`],
  ])('of %s does not block the node', async (_, body) => {
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const metadata = await metadataOf(body);
    delay.disable();
    expect(metadata?.title).toMatch(/^Deep|^x/);
    expect(delay.max / 1e6).toBeLessThan(MAX_STALL_MS);
  });
});

describe('a request', () => {
  test('reads at most 1 MB, after decompression too', async () => {
    const padding = (bytes: number) => `<!--${'x'.repeat(bytes)}-->`;
    const title = '<title>Found</title>';
    expect(await metadataOf(padding(900_000) + title)).toMatchObject({ title: 'Found' });
    expect(await metadataOf(padding(1_100_000) + title)).toBeNull();
    const bomb = gzipSync(padding(50_000_000) + title);
    expect(bomb.length).toBeLessThan(100_000);
    expect(await metadataOf(bomb, { 'content-encoding': 'gzip' })).toBeNull();
  });

  test('stops an endless body', async () => {
    let sent = 0;
    let isClosed = false;
    const port = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      const write = () => {
        while (!isClosed && response.write(Buffer.alloc(16_384, 'x'))) sent += 16_384;
      };
      response.on('drain', write).on('close', () => (isClosed = true));
      write();
    });
    expect(await fetchPage(clientOf(port), onPublic(port))).toBeNull();
    await expect.poll(() => isClosed).toBe(true);
    // The sockets of both sides buffer some megabytes.
    expect(sent).toBeLessThan(20_000_000);
  });

  test('ends at its timeout, whatever the server sends', async () => {
    const port = await serve(({ url }, response) => {
      if (url === '/silent') return;
      response.writeHead(200, { 'content-type': 'text/html' });
      const timer = setInterval(() => response.write('<p>'), 100);
      response.on('close', () => {
        clearInterval(timer);
      });
    });
    const fetch = clientOf(port, { timeoutMs: 300 });
    const pages = ['silent', 'slow'].map((path) => fetchPage(fetch, onPublic(port, `/${path}`)));
    expect(await Promise.all(pages)).toEqual([null, null]);
  });

  test('ends if the server switches protocols or breaks off', async () => {
    const starts = [
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
      'nonsense\r\n\r\n',
      '',
    ];
    const port = await serve(({ socket, url = '' }) => void socket.end(starts[Number(url.slice(1))] ?? ''));
    const fetch = clientOf(port);
    for (const i of starts.keys()) expect(await fetchPage(fetch, onPublic(port, `/${i}`))).toBeNull();
  });

  test('follows three redirects, and sends no cookies', async () => {
    const cookies: unknown[] = [];
    const port = await serve(({ url = '', headers }, response) => {
      cookies.push(headers.cookie);
      const left = Number(url.slice(1));
      if (left > 0) response.writeHead(302, { location: `/${left - 1}`, 'set-cookie': `left=${left}; Path=/` }).end();
      else response.writeHead(200, { 'content-type': 'text/html' }).end(page('<title>End</title>'));
    });
    const fetch = clientOf(port);
    expect(await fetchPage(fetch, onPublic(port, '/3'))).toMatchObject({ title: 'End' });
    expect(await fetchPage(fetch, onPublic(port, '/4'))).toBeNull();
    expect(new Set(cookies)).toEqual(new Set([undefined]));
  });

  test('is one of at most eight at once', async () => {
    let running = 0;
    let most = 0;
    const full = new EventEmitter();
    const eight = once(full, 'eight');
    const port = await serve((_, response) => {
      running += 1;
      most = Math.max(most, running);
      if (running === 8) full.emit('eight');
      void eight.then(() => {
        running -= 1;
        response.writeHead(200, { 'content-type': 'text/html' }).end(page('<title>Served</title>'));
      });
    });
    const fetch = clientOf(port);
    const pages = Array.from({ length: 20 }, (_, i) => fetchPage(fetch, onPublic(port, `/${i}`)));
    expect((await Promise.all(pages)).map((each) => each?.title)).toEqual(Array(20).fill('Served'));
    expect(most).toBe(8);
    await expect(
      Promise.all(Array.from({ length: 60 }, (_, i) => fetchPage(fetch, onPublic(port, `/${i}`)))),
    ).rejects.toMatchObject({ code: 'RATE_LIMITED' });
  });
});

test.each([
  ...['8.8.8.8', '2606:4700:4700::1111', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '2002:808:808::1'].map((a) => [a, true]),
  ...['0.0.0.0', '10.0.0.1', '100.64.0.1', '127.0.0.1', '169.254.169.254', '172.16.0.1', '192.0.2.1'].map((a) => [
    a,
    false,
  ]),
  ...['192.168.0.1', '198.18.0.1', '224.0.0.1', '240.0.0.1', '255.255.255.255', '192.88.99.1'].map((a) => [a, false]),
  ...['::', '::1', '::127.0.0.1', '::ffff:127.0.0.1', '::ffff:0:127.0.0.1', '64:ff9b::127.0.0.1'].map((a) => [
    a,
    false,
  ]),
  ...['64:ff9b:1::8.8.8.8', '2002:7f00:1::', '2001::1', '2001:db8::1', '3fff::1', '100::1'].map((a) => [a, false]),
  ...['fc00::1', 'fd00:ec2::254', 'fe80::1', 'fe80::1%1', 'fec0::1', 'ff02::1', '4000::1'].map((a) => [a, false]),
  ...['0177.0.0.1', '2130706433', '127.1', 'localhost', ''].map((a) => [a, false]),
] as [string, boolean][])('the address %s is public: %s', (address, isPublic) => {
  expect(isPublicAddress(address)).toBe(isPublic);
});
