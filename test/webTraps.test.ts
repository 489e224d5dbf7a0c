import type { RequestListener } from 'node:http';
import { describe, expect, test } from 'vitest';
import { isPublicAddress } from '../src/platform/web/addresses.ts';
import { fetchPage } from '../src/platform/web/pages.ts';
import { createWebClient, type WebOptions } from '../src/platform/web/webClient.ts';
import { onPublic, PUBLIC, serve, setTrap, startDns } from './support/web.ts';

const html: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<title>A page</title>');
};

/**
 * Sets a trap on loopback and creates a client that must not reach it. The options add the port of the trap, and the
 * public address of the tests; the check of all other addresses is that of production.
 *
 * @param options.pages serves the public address, at the port of the trap
 */
async function place({ pages = html, ...options }: { pages?: RequestListener } & WebOptions = {}) {
  const trap = await setTrap();
  const { port } = trap;
  await serve(pages, PUBLIC, port);
  const dnsServers = await startDns((name, query) => namesOf(name, query));
  const allowsAddress = (address: string) => address === PUBLIC || isPublicAddress(address);
  const client = createWebClient({ dnsServers, allowsAddress, ports: [80, 443, port], ...options });
  return { ...trap, fetch: (url: string) => fetchPage(client, url) };
}

/** Addresses of the names of the tests. */
function namesOf(name: string, query: number): string[] {
  const names: Record<string, string[]> = {
    'public.test': [PUBLIC],
    'loopback.test': ['127.0.0.1'],
    'loopback6.test': ['::1'],
    'mapped.test': ['::ffff:127.0.0.1'],
    'compatible.test': ['::127.0.0.1'],
    'nat64.test': ['64:ff9b::7f00:1'],
    'sixtofour.test': ['2002:7f00:1::'],
    'any.test': ['0.0.0.0'],
    'any6.test': ['::'],
    'metadata.test': ['169.254.169.254'],
    'private.test': ['10.0.0.1'],
    'mixed.test': [PUBLIC, '127.0.0.1'],
    'mixed6.test': [PUBLIC, '::1'],
    // DNS rebinding: the first answer is public, and later answers are not.
    'rebinding.test': query === 1 ? [PUBLIC] : ['127.0.0.1'],
  };
  return names[name] ?? [];
}

describe('a trap on loopback', () => {
  test('counts what reaches it', async () => {
    const { fetch, connections, port } = await place({ allowsAddress: () => true });
    expect(await fetch(`http://127.0.0.1:${port}/`)).toMatchObject({ title: 'Trapped' });
    expect(await fetch(`http://loopback.test:${port}/`)).toMatchObject({ title: 'Trapped' });
    expect(connections()).toBe(2);
  });

  test.each([
    ...['127.0.0.1', '127.1', '127.000.000.001', '2130706433', '017700000001', '0177.0.0.1', '0x7f000001', '0x7f.1'],
    ...['0.0.0.0', '0', '0x0', '[::]', '[::1]', '[0:0:0:0:0:0:0:1]', '[::127.0.0.1]', '127.0.0.1.', '127.255.255.254'],
    ...['[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::ffff:0:127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b:1::7f00:1]'],
    ...['[2002:7f00:1::]', '[fe80::1]', '[fd00:ec2::254]', '169.254.169.254', '10.0.0.1', '192.168.0.1'],
    ...[
      '１２７.０.０.１',
      '①②⑦.⓪.⓪.①',
      '127。0。0。1',
      '%31%32%37.0.0.1',
      'public.test@127.0.0.1',
      'public.test:x@127.0.0.1',
    ],
    ...[
      '127.0.0.1:80@127.0.0.1',
      'loopback.test',
      'LOOPBACK.test.',
      'loopback6.test',
      'mapped.test',
      'compatible.test',
    ],
    ...[
      'nat64.test',
      'sixtofour.test',
      'any.test',
      'any6.test',
      'metadata.test',
      'private.test',
      'mixed.test',
      'mixed6.test',
    ],
  ])('is not reached through the host %s', async (host) => {
    const { fetch, connections, port } = await place();
    for (const scheme of ['http', 'https']) expect(await fetch(`${scheme}://${host}:${port}/`)).toBeNull();
    expect(connections()).toBe(0);
  });

  test('is not reached through names of the system', async () => {
    const { fetch, connections, port } = await place({ dnsServers: undefined });
    for (const host of ['localhost', 'ip6-localhost', 'a.localhost'])
      expect(await fetch(`http://${host}:${port}/`)).toBeNull();
    expect(connections()).toBe(0);
  });

  test.each([
    ...['ftp://127.0.0.1:PORT/', 'file:///etc/passwd', 'gopher://127.0.0.1:PORT/_GET', 'ws://127.0.0.1:PORT/'],
    ...[
      'http:127.0.0.1:PORT',
      'http:/127.0.0.1:PORT',
      'http:\\\\127.0.0.1:PORT\\',
      '//127.0.0.1:PORT/',
      '127.0.0.1:PORT',
    ],
    ...['http://127.0.0.1:PORT\\@public.test/', 'http://127.0.0.1:PORT#@public.test/', 'http://127.0.0.1:80:PORT/'],
    ...[
      'ht\ntp://127.0.0.1:PORT/',
      'http://127.0.0.1\t:PORT/',
      'http://127.0.0.1\r\n:PORT/',
      ' http://127.0.0.1:PORT/',
    ],
    ...[
      'data:text/html,<title>A page</title>',
      'javascript:fetch("http://127.0.0.1:PORT/")',
      '',
      'http://',
      'x'.repeat(9_999),
    ],
  ])('is not reached through the URL %j', async (url) => {
    const { fetch, connections, port } = await place();
    expect(await fetch(url.replace('PORT', String(port)))).toBeNull();
    expect(connections()).toBe(0);
  });

  test.each([
    ...[301, 302, 303, 307, 308].map((status) => [status, 'http://127.0.0.1:PORT/'] as const),
    ...[
      '//127.0.0.1:PORT/',
      'http://loopback.test:PORT/',
      'http://[::ffff:7f00:1]:PORT/',
      'https://127.0.0.1:PORT/',
    ].map((location) => [302, location] as const),
    ...['http://public.test@127.0.0.1:PORT/', 'file:///etc/passwd', '/again'].map(
      (location) => [302, location] as const,
    ),
  ])('is not reached through a redirect %i to %s', async (status, location) => {
    let requests = 0;
    const { fetch, connections, port } = await place({
      pages({ url, headers: { host = '' } }, response) {
        requests += 1;
        const [, port = ''] = host.split(/:(?=\d+$)/);
        const target = url === '/again' ? 'http://2130706433:PORT/' : location;
        response.writeHead(status, { location: target.replace('PORT', port) }).end();
      },
    });
    expect(await fetch(onPublic(port))).toBeNull();
    expect(requests).toBeGreaterThan(0);
    expect(connections()).toBe(0);
  });

  test('is not reached through DNS rebinding', async () => {
    const { fetch, connections, port } = await place({
      pages({ url }, response) {
        if (url === '/redirect') response.writeHead(302, { location: '/' }).end();
        else html({} as never, response);
      },
    });
    // One lookup serves both the check and the connection.
    expect(await fetch(`http://rebinding.test:${port}/`)).toMatchObject({ title: 'A page' });
    expect(await fetch(`http://rebinding.test:${port}/`)).toBeNull();
    expect(connections()).toBe(0);
  });

  test('is not reached through a redirect to a name that rebinds', async () => {
    const { fetch, connections, port } = await place({
      pages: (_, response) => void response.writeHead(302, { location: '/again' }).end(),
    });
    expect(await fetch(`http://rebinding.test:${port}/`)).toBeNull();
    expect(connections()).toBe(0);
  });

  test('is not reached through what a page links to', async () => {
    const { fetch, connections, port } = await place({
      pages({ headers: { host = '' } }, response) {
        const trap = `http://127.0.0.1:${host.split(/:(?=\d+$)/)[1]}/`;
        response.writeHead(200, {
          ...{
            'content-type': 'text/html',
            refresh: `0; url=${trap}`,
            'content-location': trap,
            'alt-svc': `h2="${trap}"`,
          },
          link: `<${trap}>; rel=preload; as=image, <${trap}>; rel=canonical`,
        });
        response.end(`<title>A page</title><base href="${trap}"><meta http-equiv="refresh" content="0; url=${trap}">
          <link rel="canonical" href="${trap}"><link rel="alternate" type="application/json+oembed" href="${trap}">
          <meta property="og:url" content="${trap}"><iframe src="${trap}"></iframe><img src="${trap}">
          <script>location = "${trap}"</script><link rel="icon" href="${trap}">`);
      },
    });
    expect(await fetch(onPublic(port))).toMatchObject({ title: 'A page' });
    expect(connections()).toBe(0);
  });

  test('is not reached as a proxy of the environment', async () => {
    const { fetch, connections, port } = await place();
    const names = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'NODE_USE_ENV_PROXY'];
    const before = names.map((name) => [name, process.env[name]] as const);
    try {
      for (const name of names) process.env[name] = name.startsWith('NODE') ? '1' : `http://127.0.0.1:${port}`;
      expect(await fetch(onPublic(port))).toMatchObject({ title: 'A page' });
    } finally {
      for (const [name, value] of before)
        if (value === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = value;
    }
    expect(connections()).toBe(0);
  });
});

test('a public server is reached at the ports 80 and 443 only', async () => {
  let requests = 0;
  const pages: RequestListener = (request, response) => {
    requests += 1;
    html(request, response);
  };
  const { fetch, port } = await place({ pages, ports: undefined });
  expect(await fetch(onPublic(port))).toBeNull();
  expect(await fetch(`http://public.test:${port}/`)).toBeNull();
  expect(requests).toBe(0);
});

test('a URL with credentials is not requested', async () => {
  const { fetch, port } = await place();
  expect(await fetch(`http://public.test:${port}/`)).toMatchObject({ title: 'A page' });
  for (const user of ['ann', 'ann:secret', ':secret'])
    expect(await fetch(`http://${user}@public.test:${port}/`)).toBeNull();
});
