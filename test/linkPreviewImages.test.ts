import { access, readdir } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { cleanFiles, findMissing, findOrphans } from '../src/features/attachments/cleanUp.ts';
import { prunePages } from '../src/features/linkPreviews/pageCache.ts';
import { sql } from '../src/platform/database/database.ts';
import { isPublicAddress } from '../src/platform/web/addresses.ts';
import type { WebOptions } from '../src/platform/web/webClient.ts';
import { animation, blackPng, quarters } from './files/inputs.ts';
import type { Person } from './support/client.ts';
import { get } from './support/files.ts';
import { BLOCK, DELETE_MESSAGE } from './support/rooms.ts';
import { dataDirOf, startTestServer, type TestServer } from './support/server.ts';
import { onPublic, PUBLIC, serve, setTrap, startDns } from './support/web.ts';
import { world } from './support/world.ts';

const PREVIEW = `query ($url: String!) { linkPreview(url: $url) { id title image { url width height thumbHash } } }`;
const SEND = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) {
  message { id linkPreviews { id image { url } } } } }`;
const SHOW = `query ($id: ID!) { node(id: $id) { ... on Message { linkPreviews { image { url width } } } } }`;

const photo = (width: number, height: number) => quarters(width, height).jpeg().toBuffer();

/**
 * A server whose web has the page `/NAME` with the image that `images[NAME]` serves or names, on the port of a trap on
 * loopback. The check of all addresses but that of the pages is the check of production.
 */
async function imageWorld(
  images: Record<string, RequestListener | Buffer | string>,
  env: Record<string, string> = {},
  web: WebOptions = {},
) {
  const trap = await setTrap();
  const requests: string[] = [];
  const handle: RequestListener = (request, response) => {
    const [, name = '', isImage] = (request.url ?? '').split('/').map(decodeURIComponent);
    requests.push(request.url ?? '');
    const image = images[name];
    if (isImage === undefined) {
      const url = typeof image === 'string' ? image.replaceAll('PORT', String(trap.port)) : `${name}/image`;
      const head = `<title>Page ${name}</title>${image === undefined ? '' : `<meta property="og:image" content="${url}">`}`;
      response.writeHead(200, { 'content-type': 'text/html' }).end(head);
    } else if (typeof image === 'function') image(request, response);
    // The type that a server claims does not count.
    else response.writeHead(200, { 'content-type': 'text/plain' }).end(image);
  };
  await serve(handle, PUBLIC, trap.port);
  const dnsServers = await startDns((name) => (name === 'trap.test' ? ['127.0.0.1'] : []));
  const allowsAddress = (address: string) => address === PUBLIC || isPublicAddress(address);
  const server = await startTestServer({
    web: { ports: [80, 443, trap.port], allowsAddress, dnsServers, ...web },
    env,
  });
  const place = await world(server);
  // Starts a worker, which takes seconds from sources on a busy machine. It finds no file.
  await server.node.images.shrinkImage({ path: '/nowhere', folder: '/nowhere', width: 1, height: 1 }).catch(() => null);
  const urlOf = (name: string) => onPublic(trap.port, `/${encodeURIComponent(name)}`);
  const preview = async (name: string, person = place.ann) =>
    (await person.ask(PREVIEW, { url: urlOf(name) })).linkPreview;
  const sendPreview = async (person: Person, name: string) => {
    const { id } = await preview(name, person);
    const input = { chatroomId: place.room, body: 'see', linkPreviewIds: [id] };
    return (await person.ask(SEND, { input })).sendMessage.message;
  };
  return { ...place, server, trap, requests, preview, sendPreview };
}

const redirect =
  (location: string): RequestListener =>
  ({ headers: { host = '' } }, response) =>
    void response.writeHead(302, { location: location.replace('PORT', host.split(':').at(-1) ?? '') }).end();

/** Returns the files in the store of a server. */
async function storedFiles({ databaseUrl }: TestServer): Promise<string[]> {
  const entries = await readdir(join(dataDirOf(databaseUrl), 'files'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function orphansOf(node: Parameters<typeof findOrphans>[0]): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of findOrphans(node)) keys.push(key);
  return keys;
}

describe('the image of a page', () => {
  test('is encoded again, within 1,200 × 630 and without metadata', async () => {
    const withPlace = await quarters(3_000, 1_000)
      .jpeg()
      .withExif({ IFD3: { GPSLatitude: '52/1 30/1 0/1' } })
      .toBuffer();
    const { ann, preview } = await imageWorld({
      wide: withPlace,
      high: await photo(700, 900),
      small: blackPng(30, 20),
    });
    const { image } = await preview('wide');
    expect(image).toMatchObject({ width: 1_200, height: 400, thumbHash: expect.stringMatching(/^[\w+/]{20,}=*$/) });
    const response = await get(ann, image.url);
    expect(response.headers.get('content-type')).toBe('image/webp');
    expect(response.headers.get('content-disposition')).toBe('inline');
    const metadata = await sharp(await response.arrayBuffer()).metadata();
    expect(metadata).toMatchObject({ format: 'webp', width: 1_200, height: 400 });
    expect(metadata.exif).toBeUndefined();
    expect((await preview('high')).image).toMatchObject({ width: 490, height: 630 });
    expect((await preview('small')).image).toMatchObject({ width: 30, height: 20 });
  });

  test('is the first frame of a JPEG, PNG, GIF, WebP or AVIF', async () => {
    const still = () => quarters(40, 20);
    const { ann, preview } = await imageWorld({
      ...{ jpeg: await photo(40, 20), png: await still().png().toBuffer(), gif: await still().gif().toBuffer() },
      ...{ webp: await still().webp().toBuffer(), avif: await still().avif().toBuffer() },
      animated: await (await animation(4, 40, 20)).gif().toBuffer(),
    });
    for (const name of ['jpeg', 'png', 'gif', 'webp', 'avif', 'animated'])
      expect((await preview(name)).image, name).toMatchObject({ width: 40, height: 20 });
    const { image } = await preview('animated');
    const { pages } = await sharp(await (await get(ann, image.url)).arrayBuffer()).metadata();
    expect(pages ?? 1).toBe(1);
  });

  test('is not used if it is no image, broken or too large', async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>';
    const claimed = (bytes: string | Buffer, type = 'image/png'): RequestListener => {
      return (_, response) => void response.writeHead(200, { 'content-type': type }).end(bytes);
    };
    const jpeg = await photo(400, 300);
    const avif = await quarters(40, 20).avif().toBuffer();
    const heic = Buffer.from(avif.toString('latin1').replaceAll('avif', 'heic'), 'latin1');
    const huge = Buffer.concat([jpeg, Buffer.alloc(5_000_000)]);
    const images = {
      ...{ svg: claimed(svg, 'image/svg+xml'), 'svg as PNG': claimed(svg), text: claimed('no image') },
      ...{ html: claimed('<title>x</title>', 'text/html'), empty: claimed(''), heic: claimed(heic) },
      ...{ cut: claimed(jpeg.subarray(0, 2_000)), huge: claimed(huge), large: blackPng(4_100, 4_000) },
      ...{ missing: ((_, response) => void response.writeHead(404).end(jpeg)) as RequestListener },
      ...{ 'data URL': `data:image/jpeg;base64,${jpeg.toString('base64')}`, 'no URL': 'http://[' },
    };
    const { server, preview } = await imageWorld(images);
    for (const name of Object.keys(images))
      expect(await preview(name), name).toMatchObject({ title: `Page ${name}`, image: null });
    await expect(storedFiles(server)).rejects.toThrow('ENOENT');
  });

  test('is not used if its server is too slow', async () => {
    const jpeg = await photo(400, 300);
    // Never ends.
    const slow: RequestListener = (_, response) => void response.writeHead(200).write(jpeg);
    const { preview } = await imageWorld({ slow }, {}, { timeoutMs: 2_000 });
    expect(await preview('slow')).toMatchObject({ title: 'Page slow', image: null });
  });

  test('is not requested if the server stores no files', async () => {
    const { preview, requests } = await imageWorld({ a: await photo(40, 20) }, { FILES: 'off' });
    expect(await preview('a')).toMatchObject({ title: 'Page a', image: null });
    expect(requests).toEqual(['/a']);
  });
});

test('an image reaches no trap, neither by its URL nor by a redirect', async () => {
  const hosts = [
    ...['127.0.0.1', 'trap.test', '2130706433', '0x7f.1', '0.0.0.0', '[::1]', '[::]', '[::ffff:127.0.0.1]'],
    ...['[::ffff:7f00:1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '10.0.0.1', '192.168.0.1', '169.254.169.254'],
  ];
  const urls = [
    ...hosts.flatMap((host) => [`http://${host}:PORT/x.png`, `https://${host}:PORT/x.png`]),
    ...['//127.0.0.1:PORT/x.png', 'http://ann:secret@trap.test:PORT/', 'file:///etc/passwd', 'ftp://127.0.0.1:PORT/'],
  ];
  const images = Object.fromEntries(
    urls.flatMap((url, i) => [
      [`u${i}`, url],
      [`r${i}`, redirect(url)],
    ]),
  );
  const { preview, requests, trap } = await imageWorld({
    ...images,
    again: redirect('/r0/image'),
    endless: redirect('/endless/image'),
  });
  const names = [...Object.keys(images), 'again', 'endless'];
  for (const name of names) expect(await preview(name), name).toEqual(expect.objectContaining({ image: null }));
  expect(trap.connections()).toBe(0);
  // Redirects were followed until the one that is not allowed, and at most three times.
  expect(requests.filter((path) => path === '/r0/image')).toHaveLength(2);
  expect(requests.filter((path) => path === '/endless/image')).toHaveLength(4);
});

test('a trap counts an image, if its address is allowed', async () => {
  const url = 'http://trap.test:PORT/x.png';
  const { preview, trap } = await imageWorld({ url, redirect: redirect(url) }, {}, { allowsAddress: () => true });
  for (const name of ['url', 'redirect']) await preview(name);
  expect(trap.connections()).toBe(2);
});

test('an image is requested at the ports 80 and 443 only', async () => {
  let requests = 0;
  const port = await serve((_, response) => {
    requests += 1;
    response.end();
  });
  const { preview } = await imageWorld({ url: onPublic(port), redirect: redirect(onPublic(port)) });
  for (const name of ['url', 'redirect']) expect((await preview(name)).image).toBeNull();
  expect(requests).toBe(0);
});

describe('the image of a preview', () => {
  test('is read by those who may see the preview', async () => {
    const { ann, ben, eve, preview, sendPreview } = await imageWorld({ a: await photo(40, 20) });
    const { image } = await preview('a');
    const statuses = (url: string) => Promise.all([ann, ben, eve].map(async (each) => (await get(each, url)).status));
    expect(await statuses(image.url)).toEqual([200, 404, 404]);
    expect((await fetch(`${ann.url}${image.url}`)).status).toBe(401);
    expect(await statuses(image.url.replace('preview', 'original'))).toEqual([404, 404, 404]);
    const message = await sendPreview(ann, 'a');
    // A preview keeps its URL when it is sent.
    expect(message.linkPreviews[0].image).toEqual({ url: image.url });
    expect(await statuses(image.url)).toEqual([200, 200, 404]);
    await ben.ask(BLOCK, { id: ann.id });
    expect(await statuses(image.url)).toEqual([200, 404, 404]);
    expect((await ben.ask(SHOW, { id: message.id })).node).toBeNull();
    await ann.ask(DELETE_MESSAGE, { id: message.id });
    expect(await statuses(image.url)).toEqual([404, 404, 404]);
  });

  test('is requested and stored once for all previews of a page', async () => {
    const { server, ann, ben, preview, requests } = await imageWorld({ a: await photo(40, 20) });
    const [ofAnn, ofBen] = [await preview('a'), await preview('a', ben)];
    expect(ofBen.image.url).not.toBe(ofAnn.image.url);
    for (const [person, { image }] of [
      [ann, ofAnn],
      [ben, ofBen],
    ] as const)
      expect((await get(person, image.url)).status).toBe(200);
    expect(requests).toEqual(['/a', '/a/image']);
    expect(await storedFiles(server)).toHaveLength(1);
  });

  test('is deleted with its page, and known to the clean-up until then', async () => {
    const { server, ann, ben, sendPreview } = await imageWorld({ a: await photo(40, 20), b: await photo(40, 20) });
    const { database, files } = server.node;
    if (!files) return expect.fail('There is no store.');
    const [a, b] = [await sendPreview(ann, 'a'), await sendPreview(ann, 'b')];
    const node = { database, files };
    expect(await orphansOf(node)).toEqual([]);
    expect(await findMissing(node)).toEqual([]);
    expect(await cleanFiles(node, 0)).toEqual({ uploads: 0, objects: 0 });
    await database.query(sql`UPDATE web_pages SET fetched_at = now() - interval '26 hours'`);
    await ann.ask(DELETE_MESSAGE, { id: a.id });
    const before = await storedFiles(server);
    expect(before).toHaveLength(2);
    await prunePages(database);
    await expect.poll(() => storedFiles(server)).toHaveLength(1);
    expect((await get(ben, b.linkPreviews[0].image.url)).status).toBe(200);
    await database.query(sql`UPDATE web_pages SET image = jsonb_set(image, '{object}', '"other"')`);
    expect(await orphansOf(node)).toHaveLength(1);
    expect(await findMissing(node)).toEqual([expect.stringMatching(/^[\w-]{36}\/other$/)]);
  });
});

test('the image of an old page is deleted with the last message that shows it', async () => {
  const { server, ann, ben, sendPreview } = await imageWorld({ a: await photo(40, 20), b: await photo(40, 20) });
  const [first, last] = [await sendPreview(ann, 'a'), await sendPreview(ben, 'a')];
  const young = await sendPreview(ann, 'b');
  await server.node.database.query(sql`
    UPDATE web_pages SET fetched_at = now() - interval '26 hours' WHERE title = 'Page a'`);
  await ann.ask(DELETE_MESSAGE, { id: first.id });
  await ann.ask(DELETE_MESSAGE, { id: young.id });
  expect((await get(ann, last.linkPreviews[0].image.url)).status).toBe(200);
  await ben.ask(DELETE_MESSAGE, { id: last.id });
  // The page of `young` stays in the cache.
  await expect.poll(() => storedFiles(server)).toHaveLength(1);
  expect(await server.node.database.prisma.webPage.findMany({ select: { title: true } })).toEqual([
    { title: 'Page b' },
  ]);
});

test('a page whose image cannot be stored has a preview without an image', async () => {
  const { server, preview } = await imageWorld({ a: await photo(40, 20) });
  const { files } = server.node;
  if (!files) return expect.fail('There is no store.');
  files.write = () => Promise.reject(new Error('The store is away.'));
  expect(await preview('a')).toMatchObject({ title: 'Page a', image: null });
  await expect(access(join(dataDirOf(server.databaseUrl), 'files'))).rejects.toThrow('ENOENT');
});
