import { expect, test } from 'vitest';
import { isPublicAddress } from '../src/platform/web/addresses.ts';
import { quarters } from './files/inputs.ts';
import { startTestServer } from './support/server.ts';
import { backend, UPSERT } from './support/services.ts';
import { onPublic, PUBLIC, serve, setTrap } from './support/web.ts';

const AVATAR = '{ userByExternalId(externalId: "u1") { avatar { url width } } }';

test('upsertUsers downloads a picture once, and a failure changes nothing', { timeout: 60_000 }, async () => {
  const trap = await setTrap();
  const requests: string[] = [];
  const pictures: Record<string, Buffer> = {
    '/first': await quarters(300, 200).jpeg().toBuffer(),
    '/second': await quarters(200, 300).png().toBuffer(),
    '/text': Buffer.from('This is no picture.'),
  };
  await serve(
    ({ url = '' }, response) => {
      requests.push(url);
      const picture = pictures[url];
      if (picture) response.end(picture);
      else response.writeHead(500).end();
    },
    PUBLIC,
    trap.port,
  );
  const server = await startTestServer({
    web: { ports: [trap.port], allowsAddress: (address) => address === PUBLIC || isPublicAddress(address) },
  });
  const shop = await backend(server);
  const upsert = (avatarUrl: string) => shop.call(UPSERT, { users: [{ externalId: 'u1', avatarUrl }] });
  const avatar = async () => (await shop.ask(AVATAR)).userByExternalId.avatar;
  const urlOf = (path: string) => onPublic(trap.port, path);
  const isIdle = async () => {
    const jobs = await server.node.database.prisma.$queryRaw<{ count: number }[]>`
      SELECT count(*)::int AS count FROM graphile_worker.jobs WHERE task_identifier IN ('fetch_avatar', 'process_attachment')`;
    return jobs[0]?.count === 0;
  };

  await upsert(urlOf('/first'));
  await expect.poll(avatar, { timeout: 30_000 }).toMatchObject({ width: 300 });
  const first = await avatar();
  await upsert(urlOf('/first'));
  await expect.poll(isIdle, { timeout: 30_000 }).toBe(true);
  expect(requests).toEqual(['/first']);

  for (const url of [urlOf('/text'), urlOf('/none'), `http://127.0.0.1:${trap.port}/first`]) {
    await upsert(url);
    await expect.poll(isIdle, { timeout: 30_000 }).toBe(true);
    expect(await avatar()).toEqual(first);
  }
  expect(trap.connections()).toBe(0);
  await upsert(urlOf('/second'));
  await expect.poll(avatar, { timeout: 30_000 }).not.toEqual(first);
  await expect.poll(avatar, { timeout: 30_000 }).toMatchObject({ width: 200 });
  expect(requests).toEqual(['/first', '/text', '/none', '/second']);
});

test('a server without files ignores pictures', async () => {
  const server = await startTestServer({ env: { FILES: 'off' } });
  const shop = await backend(server);
  await shop.call(UPSERT, { users: [{ externalId: 'u1', avatarUrl: 'https://shop.example.org/ann.png' }] });
  expect((await shop.ask(AVATAR)).userByExternalId.avatar).toBeNull();
});
