import { describe, expect, onTestFinished, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { previewLinks } from '../src/features/linkPreviews/linkPreviews.ts';
import { prunePages } from '../src/features/linkPreviews/pageCache.ts';
import { sql } from '../src/platform/database/database.ts';
import type { WebOptions } from '../src/platform/web/webClient.ts';
import { PASSWORD, type Person, request } from './support/client.ts';
import { ADD, BLOCK, DELETE_MESSAGE, LEAVE, REMOVE, SET_ROLE } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { servePages, setTrap } from './support/web.ts';
import { cursorOf, SEND, send, world } from './support/world.ts';

const PREVIEW = `query ($url: String!) { linkPreview(url: $url) { id url title description siteName } }`;
const NODE = `query ($id: ID!) { node(id: $id) { id ... on LinkPreview { title } } }`;
const SEND_AND_SHOW = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) {
  deduplicated message { id number linkPreviews { id url title } } } }`;
const SHOW = `query ($id: ID!) { node(id: $id) { ... on Message { linkPreviews { id url title } } } }`;
const REMOVE_PREVIEW = `mutation ($message: ID!, $preview: ID!) {
  removeLinkPreview(input: { messageId: $message, linkPreviewId: $preview }) { message { linkPreviews { title } } } }`;
const EVENTS = `subscription ($room: ID!, $after: String) { chatroomEvents(chatroomId: $room, after: $after) { __typename
  ... on MessageAdded { message { number linkPreviews { title } } }
  ... on LinkPreviewsChanged { message { number linkPreviews { title } } } } }`;
const EDIT = `mutation ($id: ID!, $body: String!) { editMessage(input: { messageId: $id, body: $body }) { message { id } } }`;

/**
 * A server whose web has a page for each path. Paths with "missing" have none.
 *
 * @param onRequest called with the path; the response follows when its promise resolves
 */
async function previewWorld(
  env: Record<string, string> = {},
  onRequest: (path: string) => unknown = () => undefined,
  options: WebOptions = {},
) {
  const requests: string[] = [];
  const { web, urlOf } = await servePages(({ url = '' }, response) => {
    requests.push(url);
    void Promise.resolve(onRequest(url)).then(() => {
      const title = `<title>Page ${url}</title><meta name="description" content="About"><meta property="og:site_name" content="Site">`;
      response.writeHead(url.includes('missing') ? 404 : 200, { 'content-type': 'text/html' }).end(title);
    });
  });
  const server = await startTestServer({ web: { ...web, ...options }, env });
  return { ...(await world(server)), server, requests, urlOf };
}

/** Responses to paths with "slow" follow after `release`. */
function slowWeb() {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  return { onRequest: (path: string) => (path.includes('slow') ? released : undefined), release };
}

const preview = async (person: Person, url: string) => (await person.ask(PREVIEW, { url })).linkPreview;
const show = async (person: Person, id: string) => (await person.ask(SHOW, { id })).node?.linkPreviews;
const sendShown = async (person: Person, room: string, body: string, more: object) =>
  (await person.ask(SEND_AND_SHOW, { input: { chatroomId: room, body, ...more } })).sendMessage;
const titles = (previews: { title: string }[]) => previews.map(({ title }) => title);

describe('linkPreview', () => {
  test('returns the metadata of the page', async () => {
    const { ann, urlOf } = await previewWorld();
    expect(await preview(ann, urlOf('/a b#part'))).toEqual({
      ...{ id: expect.any(String), url: urlOf('/a%20b'), title: 'Page /a%20b', description: 'About', siteName: 'Site' },
    });
  });

  test('requests a page once in 24 hours, for all users', async () => {
    const { server, ann, ben, urlOf, requests } = await previewWorld();
    const [first, again, ofBen] = await Promise.all([ann, ann, ben].map((person) => preview(person, urlOf('/a'))));
    expect(again).toEqual(first);
    expect({ ...ofBen, id: first.id }).toEqual(first);
    expect(ofBen.id).not.toBe(first.id);
    expect(await preview(ann, urlOf('/a'))).toEqual(first);
    expect(requests).toEqual(['/a']);
    await server.node.database.query(sql`UPDATE web_pages SET fetched_at = now() - interval '23 hours 59 minutes'`);
    await preview(ann, urlOf('/a'));
    expect(requests).toEqual(['/a']);
    await server.node.database.query(sql`UPDATE web_pages SET fetched_at = now() - interval '24 hours 1 minute'`);
    await preview(ann, urlOf('/a'));
    expect(requests).toEqual(['/a', '/a']);
  });

  test('requests a page without a preview again after an hour', async () => {
    const { server, ann, urlOf, requests } = await previewWorld();
    for (const minutes of [0, 59, 61]) {
      await server.node.database.query(
        sql`UPDATE web_pages SET fetched_at = now() - make_interval(mins => ${minutes}::int)`,
      );
      expect(await preview(ann, urlOf('/missing'))).toBeNull();
      expect(requests).toHaveLength(minutes > 60 ? 2 : 1);
    }
  });

  test('returns null without a reason', async () => {
    const { ann, urlOf } = await previewWorld();
    const trap = await setTrap();
    const urls = [`http://127.0.0.1:${trap.port}/`, urlOf('/missing'), 'http://nowhere.invalid/', 'nonsense', ''];
    for (const url of [...urls, `http://127.0.0.1/${'x'.repeat(3_000)}`])
      expect(await request(ann.url, PREVIEW, { url }, { authorization: `Bearer ${ann.accessToken}` })).toEqual({
        data: { linkPreview: null },
      });
    expect(trap.connections()).toBe(0);
  });

  test('costs 20 points', async () => {
    const { ben, urlOf } = await previewWorld({ RATE_LIMITS: 'on', RATE_PER_USER: '100' });
    for (let i = 0; i < 4; i += 1) await preview(ben, urlOf('/a'));
    expect(await ben.askForErrorCode(PREVIEW, { url: urlOf('/a') })).toBe('RATE_LIMITED');
  });

  test('requests at most 100 pages an hour for a user', async () => {
    const { ann, ben, room, urlOf, requests } = await previewWorld({ RATE_LIMITS: 'on', RATE_PER_USER: '1000000' });
    for (let i = 0; i < 99; i += 1) await preview(ann, urlOf(`/missing${i}`));
    await sendShown(ann, room, urlOf('/a'), { linkPreviews: 'AUTO' });
    await expect.poll(() => requests.length).toBe(100);
    expect(await ann.askForErrorCode(PREVIEW, { url: urlOf('/b') })).toBe('RATE_LIMITED');
    // Cached pages are free.
    expect((await preview(ann, urlOf('/a'))).title).toBe('Page /a');
    expect((await preview(ben, urlOf('/b'))).title).toBe('Page /b');
    expect(requests).toHaveLength(101);
  });

  test('of a user with links to slow servers leaves requests for others', async () => {
    const { onRequest, release } = slowWeb();
    const { ann, ben, urlOf } = await previewWorld({}, onRequest, { timeoutMs: 60_000 });
    onTestFinished(release);
    const headers = { authorization: `Bearer ${ann.accessToken}` };
    const slow = Array.from({ length: 8 }, (_, i) =>
      request(ann.url, PREVIEW, { url: urlOf(`/slow${i}`) }, headers).catch(() => null),
    );
    const refused = slow.map(async (each) => (await each)?.errors?.[0]?.extensions.code);
    expect(await Promise.race(refused)).toBe('RATE_LIMITED');
    expect((await preview(ben, urlOf('/a'))).title).toBe('Page /a');
  });

  test('is off with LINK_PREVIEWS=off', async () => {
    const FEATURES = '{ server { features } }';
    const on = await previewWorld();
    expect((await on.ann.ask(FEATURES)).server.features).toContain('link-previews');
    const { server, ann, room, urlOf, requests } = await previewWorld({ LINK_PREVIEWS: 'off' });
    expect((await ann.ask(FEATURES)).server.features).not.toContain('link-previews');
    expect(await preview(ann, urlOf('/a'))).toBeNull();
    await sendShown(ann, room, urlOf('/a'), { linkPreviews: 'AUTO' });
    await previewLinks(server.node, { chatroomId: keyOf('Chatroom', room) ?? '', number: 1 });
    expect(requests).toEqual([]);
  });

  test('of a real server requests no page of its own machine', async (context) => {
    // Without options, a node is that of production. The trap needs port 80, because production requests no other.
    const { ann } = await world(await startTestServer());
    const trap = await setTrap(80).catch(() => context.skip('This needs port 80, which this process may not have.'));
    for (const host of ['127.0.0.1', 'localhost', '2130706433', '0.0.0.0', '[::1]', '[::ffff:127.0.0.1]', '127.1'])
      expect(await preview(ann, `http://${host}/`)).toBeNull();
    expect(trap.connections()).toBe(0);
  });
});

describe('a sent preview', () => {
  test('belongs to one message, which shows it', async () => {
    const { ann, ben, room, urlOf } = await previewWorld();
    const [a, b] = [await preview(ann, urlOf('/a')), await preview(ann, urlOf('/b'))];
    const { message } = await sendShown(ann, room, 'two', { linkPreviewIds: [b.id, a.id] });
    expect(titles(message.linkPreviews)).toEqual(['Page /b', 'Page /a']);
    expect(await show(ben, message.id)).toEqual(message.linkPreviews);
    const more = { input: { chatroomId: room, body: 'again', linkPreviewIds: [a.id] } };
    expect(await ann.askForErrorCode(SEND_AND_SHOW, more)).toBe('NOT_FOUND');
    // A new preview of the same page can be sent.
    expect((await preview(ann, urlOf('/a'))).id).not.toBe(a.id);
  });

  test('is stored with one of two concurrent sends', async () => {
    const { ann, room, urlOf } = await previewWorld();
    const { id } = await preview(ann, urlOf('/a'));
    const sends = ['x', 'y'].map((body) =>
      request(
        ann.url,
        SEND_AND_SHOW,
        { input: { chatroomId: room, body, linkPreviewIds: [id] } },
        { authorization: `Bearer ${ann.accessToken}` },
      ),
    );
    const codes = (await Promise.all(sends)).map(({ errors }) => errors?.[0]?.extensions.code);
    expect(codes.toSorted()).toEqual(['NOT_FOUND', undefined]);
  });

  test('is part of what a clientMessageId stands for', async () => {
    const { ann, room, urlOf } = await previewWorld();
    const [a, b] = [await preview(ann, urlOf('/a')), await preview(ann, urlOf('/b'))];
    const first = await sendShown(ann, room, 'x', { clientMessageId: '1', linkPreviewIds: [a.id] });
    const again = await sendShown(ann, room, 'x', { clientMessageId: '1', linkPreviewIds: [a.id] });
    expect(again).toEqual({ ...first, deduplicated: true });
    for (const more of [{}, { linkPreviewIds: [b.id] }, { linkPreviews: 'AUTO' }])
      expect(
        await ann.askForErrorCode(SEND, { input: { chatroomId: room, body: 'x', clientMessageId: '1', ...more } }),
      ).toBe('CONFLICT');
    // After leaving the room, ann no longer sees what members have done to the message.
    await ann.ask(LEAVE, { id: room });
    const left = await sendShown(ann, room, 'x', { clientMessageId: '1', linkPreviewIds: [a.id] });
    expect(left).toMatchObject({ deduplicated: true, message: { linkPreviews: [] } });
  });

  test('is refused if it is unknown, another user’s or one of too many', async () => {
    const { ann, ben, room, urlOf } = await previewWorld();
    const ids: string[] = [];
    for (const path of ['/a', '/b', '/c', '/d']) ids.push((await preview(ann, urlOf(path))).id);
    const refusal = (person: Person, more: object) =>
      person.askForErrorCode(SEND, { input: { chatroomId: room, body: 'x', ...more } });
    expect(await refusal(ann, { linkPreviewIds: ids })).toBe('BAD_USER_INPUT');
    expect(await refusal(ann, { linkPreviewIds: ids.slice(0, 1), linkPreviews: 'AUTO' })).toBe('BAD_USER_INPUT');
    expect(await refusal(ann, { linkPreviewIds: [room] })).toBe('NOT_FOUND');
    expect(await refusal(ben, { linkPreviewIds: ids.slice(0, 1) })).toBe('NOT_FOUND');
    const unknown = Buffer.from(`LinkPreview:${crypto.randomUUID()}`).toString('base64url');
    expect(await refusal(ann, { linkPreviewIds: [...ids.slice(0, 1), unknown] })).toBe('NOT_FOUND');
    const { message } = await sendShown(ann, room, 'x', {
      linkPreviewIds: [...ids.slice(0, 1), ...ids.slice(0, 2)].slice(1),
    });
    expect(titles(message.linkPreviews)).toEqual(['Page /a', 'Page /b']);
  });

  test('is visible to those who may read the message', async () => {
    const { ann, ben, eve, room, urlOf } = await previewWorld();
    const { id } = await preview(ann, urlOf('/a'));
    const seenBy = async (person: Person) => (await person.ask(NODE, { id })).node?.title ?? null;
    expect([await seenBy(ann), await seenBy(ben), await seenBy(eve)]).toEqual(['Page /a', null, null]);
    const { message } = await sendShown(ann, room, 'x', { linkPreviewIds: [id] });
    expect([await seenBy(ann), await seenBy(ben), await seenBy(eve)]).toEqual(['Page /a', 'Page /a', null]);
    await ben.ask(BLOCK, { id: ann.id });
    expect([await seenBy(ann), await seenBy(ben)]).toEqual(['Page /a', null]);
    await ann.ask(ADD, { id: room, users: [eve.id] });
    expect(await seenBy(eve)).toBe('Page /a');
    await ann.ask(REMOVE, { id: room, user: eve.id });
    expect(await seenBy(eve)).toBeNull();
    await ann.ask(DELETE_MESSAGE, { id: message.id });
    expect(await seenBy(ann)).toBeNull();
    expect(await show(ann, message.id)).toEqual([]);
  });

  test('stays when its sender’s account is deleted, unlike those not sent', async () => {
    const { server, ann, ben, room, urlOf } = await previewWorld();
    const [sent] = [await preview(ann, urlOf('/a')), await preview(ann, urlOf('/b'))];
    const { message } = await sendShown(ann, room, 'x', { linkPreviewIds: [sent.id] });
    await ann.ask('mutation ($password: String) { deleteAccount(input: { password: $password }) { ok } }', {
      password: PASSWORD,
    });
    expect(titles(await show(ben, message.id))).toEqual(['Page /a']);
    expect(await server.node.database.prisma.linkPreview.count()).toBe(1);
  });
});

describe('AUTO', () => {
  test('finds previews for the first three links, as an event', async () => {
    const { ann, ben, room, urlOf, requests } = await previewWorld();
    const cursor = await cursorOf(ben, room);
    const live = ben.connect().subscribe(EVENTS, { room });
    await live.ready();
    const body = ['b', 'missing', 'a', 'c'].map((path) => `see ${urlOf(`/${path}`)},`).join(' ');
    const { message } = await sendShown(ann, room, body, { linkPreviews: 'AUTO' });
    expect(message.linkPreviews).toEqual([]);
    const found = [{ title: 'Page /b' }, { title: 'Page /a' }];
    const changed = { __typename: 'LinkPreviewsChanged', message: { number: 1, linkPreviews: found } };
    expect((await live.take(2))[1]).toEqual(changed);
    expect(requests.toSorted()).toEqual(['/a', '/b', '/missing']);
    expect(titles(await show(ann, message.id))).toEqual(['Page /b', 'Page /a']);
    const missed = await ben.connect().subscribe(EVENTS, { room, after: cursor }).take(3);
    expect(missed.map(({ __typename }) => __typename)).toEqual(['MessageAdded', 'LinkPreviewsChanged', 'CaughtUp']);
    expect(missed[1]).toEqual(changed);
  });

  test('adds nothing twice, and nothing to a deleted message', async () => {
    const { server, ann, room, urlOf } = await previewWorld();
    const job = { chatroomId: keyOf('Chatroom', room) ?? '', number: 1 };
    const { id } = await send(ann, room, urlOf('/a'));
    await previewLinks(server.node, job);
    const cursor = await cursorOf(ann, room);
    await previewLinks(server.node, job);
    expect(titles(await show(ann, id))).toEqual(['Page /a']);
    expect(await cursorOf(ann, room).then(positionOf)).toBe(positionOf(cursor));
    await ann.ask(DELETE_MESSAGE, { id });
    await previewLinks(server.node, job);
    expect(await server.node.database.prisma.linkPreview.count()).toBe(0);
  });

  test('adds no preview again that was removed, if its job is repeated', async () => {
    const { server, ann, room, urlOf } = await previewWorld();
    const job = { chatroomId: keyOf('Chatroom', room) ?? '', number: 1 };
    const { id } = await send(ann, room, urlOf('/a'));
    await previewLinks(server.node, job);
    const [added] = await show(ann, id);
    await ann.ask(REMOVE_PREVIEW, { message: id, preview: added.id });
    // As after the crash of a node that had added the preview, and had not yet completed the job.
    await previewLinks(server.node, job);
    expect(await show(ann, id)).toEqual([]);
  });

  test('of a user with links to slow servers delays nobody else', async () => {
    const { onRequest, release } = slowWeb();
    const { server, ann, ben, room, urlOf, requests } = await previewWorld({}, onRequest, { timeoutMs: 60_000 });
    // Before the server stops, which waits for its jobs.
    onTestFinished(release);
    for (let i = 0; i < 6; i += 1)
      await sendShown(ann, room, [1, 2, 3].map((n) => urlOf(`/slow${i}${n}`)).join(' '), { linkPreviews: 'AUTO' });
    await expect.poll(() => requests.length).toBeGreaterThanOrEqual(3);
    const { message } = await sendShown(ben, room, urlOf('/a'), { linkPreviews: 'AUTO' });
    await expect.poll(async () => titles(await show(ann, message.id)), { timeout: 20_000 }).toEqual(['Page /a']);
    // The other messages of ann wait for their turn.
    const waiting = await server.node.database.query(sql`
      SELECT FROM graphile_worker.jobs WHERE task_identifier = 'preview_links' AND last_error IS NOT NULL`);
    expect(waiting).toEqual([]);
  });

  test('previews the links of a body that is edited meanwhile', async () => {
    let edit: () => Promise<unknown> = () => Promise.resolve();
    const { server, ann, room, urlOf } = await previewWorld({}, () => edit());
    const { id } = await send(ann, room, urlOf('/a'));
    edit = () => {
      edit = () => Promise.resolve();
      return ann.ask(EDIT, { id, body: urlOf('/b') });
    };
    await previewLinks(server.node, { chatroomId: keyOf('Chatroom', room) ?? '', number: 1 });
    expect(titles(await show(ann, id))).toEqual(['Page /b']);
  });

  test('costs 20 points for a body with a link', async () => {
    const { ben, room, urlOf } = await previewWorld({ RATE_LIMITS: 'on', RATE_PER_USER: '60' });
    const auto = (body: string) => ({ input: { chatroomId: room, body, linkPreviews: 'AUTO' } });
    for (let i = 0; i < 3; i += 1) await ben.ask(SEND, auto('no link'));
    await ben.ask(SEND, auto(urlOf('/a')));
    expect(await ben.askForErrorCode(SEND, auto(urlOf('/a')))).toBe('RATE_LIMITED');
  });
});

describe('removeLinkPreview', () => {
  test('is for the sender, the owner and admins', async () => {
    const { ann, ben, eve, room, urlOf } = await previewWorld();
    const [a, b] = [await preview(ben, urlOf('/a')), await preview(ben, urlOf('/b'))];
    const { message } = await sendShown(ben, room, 'x', { linkPreviewIds: [a.id, b.id] });
    const removal = { message: message.id, preview: a.id };
    expect(await eve.askForErrorCode(REMOVE_PREVIEW, removal)).toBe('NOT_FOUND');
    await ann.ask(ADD, { id: room, users: [eve.id] });
    expect(await eve.askForErrorCode(REMOVE_PREVIEW, removal)).toBe('FORBIDDEN');
    expect(titles(await show(eve, message.id))).toEqual(['Page /a', 'Page /b']);
    await ann.ask(SET_ROLE, { id: room, user: eve.id, role: 'ADMIN' });
    const { removeLinkPreview } = await eve.ask(REMOVE_PREVIEW, removal);
    expect(titles(removeLinkPreview.message.linkPreviews)).toEqual(['Page /b']);
    await ben.ask(REMOVE_PREVIEW, { message: message.id, preview: b.id });
    expect(await show(ann, message.id)).toEqual([]);
  });

  test('sends one event, however often it is called', async () => {
    const { ann, ben, room, urlOf } = await previewWorld();
    const { id } = await preview(ann, urlOf('/a'));
    const { message } = await sendShown(ann, room, 'x', { linkPreviewIds: [id] });
    const stream = ben.connect().subscribe(EVENTS, { room });
    await stream.ready();
    for (const each of [id, id]) await ann.ask(REMOVE_PREVIEW, { message: message.id, preview: each });
    await send(ann, room, 'next');
    expect(await stream.take(2)).toEqual([
      { __typename: 'LinkPreviewsChanged', message: { number: 1, linkPreviews: [] } },
      { __typename: 'MessageAdded', message: { number: 2, linkPreviews: [] } },
    ]);
  });

  test('is stored as an event of a kind that the previous release knows', async () => {
    const { ann, room, server, urlOf } = await previewWorld();
    const { id } = await preview(ann, urlOf('/a'));
    const { message } = await sendShown(ann, room, 'x', { linkPreviewIds: [id] });
    await ann.ask(REMOVE_PREVIEW, { message: message.id, preview: id });
    const events = await server.node.database.query(sql`
      SELECT kind, detail FROM events WHERE chatroom_id = ${keyOf('Chatroom', room)}::uuid ORDER BY seq DESC LIMIT 1`);
    expect(events).toEqual([{ kind: 'MESSAGE_EDITED', detail: 'LINK_PREVIEWS_CHANGED' }]);
  });
});

describe('the previews of messages', () => {
  const PAGE = (fields: string) => `query ($id: ID!) { chatroom(id: $id) { messages { nodes { body ${fields} } } } }`;

  test('cost no statement if there are none, and one for a page', async () => {
    const { server, ann, room, urlOf } = await previewWorld();
    const cost = async (fields: string) => {
      server.statements();
      await ann.ask(PAGE(fields), { id: room });
      return server.statements().length;
    };
    for (let i = 0; i < 3; i += 1) await send(ann, room, `${i}`);
    const without = await cost('');
    expect(await cost('linkPreviews { title }')).toBe(without);
    for (const path of ['/a', '/b', '/c'])
      await sendShown(ann, room, path, { linkPreviewIds: [(await preview(ann, urlOf(path))).id] });
    expect(await cost('linkPreviews { title }')).toBe(without + 1);
  });

  test('are loaded once for all subscribers of an event', async () => {
    const { server, ann, ben, room, urlOf } = await previewWorld({ SHARED_EXECUTION: 'on' });
    const cost = async (count: number, more: object) => {
      const streams = Array.from({ length: count }, (_, i) =>
        (i % 2 ? ann : ben).connect().subscribe(EVENTS, { room }),
      );
      for (const stream of streams) await stream.ready();
      await send(ann, room, 'warm');
      await Promise.all(streams.map((stream) => stream.next()));
      server.statements();
      await send(ann, room, 'measured', more);
      const events = await Promise.all(streams.map((stream) => stream.next()));
      expect(new Set(events.map((event) => JSON.stringify(event))).size).toBe(1);
      const spent = server.statements().length;
      for (const stream of streams) stream.stop();
      await Promise.all(streams.map((stream) => stream.ended));
      return { spent, message: events[0].message };
    };
    const more = async (path: string) => ({ linkPreviewIds: [(await preview(ann, urlOf(path))).id] });
    const none = await cost(30, {});
    const one = await cost(1, await more('/a'));
    const many = await cost(30, await more('/b'));
    expect(many.message.linkPreviews).toEqual([{ title: 'Page /b' }]);
    expect([one.spent, many.spent]).toEqual([none.spent + 1, none.spent + 1]);
  });
});

test('pruning removes what nobody has sent, and pages that no message shows', async () => {
  const { server, ann, room, urlOf } = await previewWorld();
  const { database } = server.node;
  const sent = await preview(ann, urlOf('/sent'));
  const { message } = await sendShown(ann, room, 'x', { linkPreviewIds: [sent.id] });
  for (const path of ['/unsent', '/missing']) await preview(ann, urlOf(path));
  await prunePages(database);
  expect(await database.prisma.webPage.count()).toBe(3);
  await database.query(sql`UPDATE web_pages SET fetched_at = now() - interval '26 hours'`);
  await database.query(sql`UPDATE link_previews SET created_at = now() - interval '25 hours'`);
  await prunePages(database);
  expect(await database.prisma.webPage.findMany({ select: { title: true } })).toEqual([{ title: 'Page /sent' }]);
  expect(titles(await show(ann, message.id))).toEqual(['Page /sent']);
});

test('a user has at most 100 previews that are not sent', async () => {
  const { server, ann, urlOf } = await previewWorld();
  const { database } = server.node;
  await database.query(sql`
    WITH pages AS (INSERT INTO web_pages (url, title) SELECT n::text, n::text FROM generate_series(1, 100) n RETURNING id)
    INSERT INTO link_previews (page_id, user_id, created_at)
      SELECT id, ${keyOf('User', ann.id)}::uuid, now() - interval '1 hour' FROM pages`);
  const { id } = await preview(ann, urlOf('/a'));
  expect(await database.prisma.linkPreview.count()).toBe(100);
  expect((await ann.ask(NODE, { id })).node).toMatchObject({ title: 'Page /a' });
});

/** Returns the position in a room's log that a cursor names. */
function positionOf(cursor: string): unknown {
  return Buffer.from(cursor, 'base64url').toString().split(',').slice(0, 4).join();
}
