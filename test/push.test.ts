import { getNamedType, isLeafType, isObjectType, printSchema } from 'graphql';
import { importJWK, jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import { sql } from '../src/platform/database/database.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { buildSchema } from '../src/features/schema.ts';
import { type Person, request, signUp } from './support/client.ts';
import {
  type Fcm,
  fcmMessage,
  fcmTokens,
  type Platform,
  providers,
  type Push,
  serve,
  startFcm,
  startPushService,
  subscribeBrowser,
} from './support/providers.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const REGISTER = `mutation ($input: RegisterPushDeviceInput!) { registerPushDevice(input: $input) { device { id platform createdAt } } }`;
const UNREGISTER = `mutation ($id: ID!) { unregisterPushDevice(input: { deviceId: $id }) { deletedDeviceId viewer { pushDevices { id } } } }`;
const NODE = `query ($id: ID!) { node(id: $id) { id __typename } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const MARK_READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }`;
const DELETE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;
const REMOVE = `mutation ($room: ID!, $id: ID!) { removeChatroomMember(input: { chatroomId: $room, userId: $id }) { chatroom { id } } }`;

/** Timeout for a retry of the queue, which retries after about 3 s and polls every 2 s. */
const PATIENCE = { timeout: 40_000 };
const PATIENT_TEST_MS = 60_000;

async function register(person: Person, token: string, platform: Platform = 'FCM'): Promise<any> {
  return (await person.ask(REGISTER, { input: { platform, token } })).registerPushDevice.device;
}

const devices = async (person: Person): Promise<string[]> =>
  (await person.ask('{ viewer { pushDevices { id } } }')).viewer.pushDevices.map((device: any) => device.id);

async function group(owner: Person, ...members: Person[]): Promise<string> {
  const input = { kind: 'GROUP', name: 'Another room', memberIds: members.map(({ id }) => id) };
  return (await owner.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
}

/** Returns all queued and running jobs. A job stays until it has succeeded. */
const jobs = (server: TestServer, query = server.node.database.query) =>
  query<{ task: string; attempts: number; error: string | null }>(
    sql`SELECT task_identifier AS task, attempts, last_error AS error FROM graphile_worker.jobs ORDER BY id`,
  );

/** Waits until the queue is empty. No further push is sent after that. */
const settled = (server: TestServer) => expect.poll(() => jobs(server), PATIENCE).toEqual([]);

/**
 * Keeps both workers of the server busy with pushes to another user, so that later jobs wait.
 *
 * @returns a function that releases the workers
 */
async function keepBusy(server: TestServer, fcm: Fcm, sender: Person): Promise<() => void> {
  const somebody = await signUp(server.url, 'somebody');
  const room = await group(sender, somebody);
  for (const token of ['busy 1', 'busy 2']) await register(somebody, token);
  let letGo: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (letGo = resolve));
  fcm.answer = async (push) => {
    if (String(fcmMessage(push).token).startsWith('busy')) await over;
    return { status: 200 };
  };
  await send(sender, room, 'Long to deliver');
  await expect.poll(() => fcmTokens(fcm)).toEqual(['busy 1', 'busy 2']);
  return letGo;
}

describe('Firebase Cloud Messaging', () => {
  test('receives a push per device, authorised by the service account', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, room } = await world(server);
    await register(ben, 'the phone');
    const message = await send(ann, room, 'Hello');
    await expect.poll(() => fcm.pushes.length).toBe(1);

    const [grant] = fcm.grants;
    expect(grant?.get('grant_type')).toBe('urn:ietf:params:oauth:grant-type:jwt-bearer');
    const { payload, protectedHeader } = await jwtVerify(grant?.get('assertion') ?? '', fcm.publicKey, {
      issuer: fcm.account.client_email,
      audience: fcm.account.token_uri,
      requiredClaims: ['iat', 'exp'],
    });
    expect(protectedHeader.alg).toBe('RS256');
    expect(payload['scope']).toBe('https://www.googleapis.com/auth/firebase.messaging');
    // Google accepts at most one hour.
    expect(Number(payload.exp) - Number(payload.iat)).toBeLessThanOrEqual(3600);

    const [push] = fcm.pushes;
    expect(push?.path).toBe(`/v1/projects/${fcm.account.project_id}/messages:send`);
    expect(push?.headers).toMatchObject({ authorization: 'Bearer access 1', 'content-type': 'application/json' });
    expect(push && fcmMessage(push)).toMatchObject({
      token: 'the phone',
      notification: { title: 'A room', body: 'ann: Hello' },
      data: { chatroomId: room, messageId: message.id, number: String(message.number), unreadCount: '1' },
      apns: { payload: { aps: { badge: 1 } } },
    });
  });

  test('receives the unread count of all rooms, as the receiver sees it', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, eve, room } = await world(server);
    const other = await group(eve, ben);
    await register(ben, 'the phone');
    const sent: any[] = [];
    const told = async (sender: Person, where: string) => {
      sent.push(await send(sender, where, `Message ${sent.length + 1}`));
      await expect.poll(() => fcm.pushes.length).toBe(sent.length);
      const push = fcm.pushes.at(-1);
      const { viewer } = await ben.ask('{ viewer { unreadCount } }');
      return [push && fcmMessage(push).data.unreadCount, String(viewer.unreadCount)];
    };
    expect(await told(ann, room)).toEqual(['1', '1']);
    expect(await told(ann, room)).toEqual(['2', '2']);
    expect(await told(eve, other)).toEqual(['3', '3']);
    await ben.ask(MARK_READ, { id: sent[1].id });
    expect(await told(ann, room)).toEqual(['2', '2']);
    await ann.ask(DELETE, { id: sent[3].id });
    expect(await told(eve, other)).toEqual(['2', '2']);
    expect(fcm.grants).toHaveLength(1);
  });

  test('issues another access token after rejecting the first', { timeout: PATIENT_TEST_MS }, async () => {
    const fcm = await startFcm();
    fcm.answer = ({ headers }) => ({ status: headers.authorization === 'Bearer access 1' ? 401 : 200 });
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, room } = await world(server);
    await register(ben, 'the phone');
    await send(ann, room, 'Hello');
    await expect.poll(() => fcm.pushes.length, PATIENCE).toBe(2);
    await settled(server);
    expect(fcm.pushes.map(({ headers }) => headers.authorization)).toEqual(['Bearer access 1', 'Bearer access 2']);
  });

  test('receives the first 200 characters of a long message', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, room } = await world(server);
    await register(ben, 'the phone');
    await send(ann, room, '👍'.repeat(5_000));
    await expect
      .poll(() => fcm.pushes.map(fcmMessage))
      .toMatchObject([{ notification: { body: `ann: ${'👍'.repeat(200)}` } }]);
  });
});

describe('Web Push', () => {
  test('delivers an encrypted, signed push that only the browser can read', async () => {
    const service = await startPushService();
    const server = await startTestServer({ env: { ...service.env, MAIL_FROM: 'parley@example.org' } });
    const { ann, ben } = await world(server);
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ben.id] } });
    const browser = subscribeBrowser(service.origin);
    expect(await register(ben, browser.token, 'WEB_PUSH')).toMatchObject({ platform: 'WEB_PUSH' });
    const message = await send(ann, createChatroom.chatroom.id, 'Hello, 世界');
    await expect.poll(() => service.pushes.length).toBe(1);

    const [push] = service.pushes;
    if (!push) throw new Error('No push arrived.');
    expect(push.path).toBe(browser.path);
    expect(push.headers).toMatchObject({ 'content-encoding': 'aes128gcm', ttl: '86400' });
    expect(push.body.includes('Hello')).toBe(false);
    expect(browser.read(push)).toEqual({
      title: 'ann',
      body: 'Hello, 世界',
      data: { chatroomId: createChatroom.chatroom.id, messageId: message.id, number: '1', unreadCount: '1' },
    });
    expect(() => subscribeBrowser(service.origin).read(push)).toThrow();

    const [, token = '', key] = /^vapid t=([^,]+), ?k=(.+)$/.exec(push.headers.authorization ?? '') ?? [];
    expect(key).toBe(service.vapid.publicKey);
    const point = Buffer.from(service.vapid.publicKey, 'base64url');
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString('base64url'));
    const publicKey = await importJWK({ kty: 'EC', crv: 'P-256', x, y }, 'ES256');
    const { payload } = await jwtVerify(token, publicKey, { audience: service.origin, requiredClaims: ['exp'] });
    expect(payload.sub).toBe('mailto:parley@example.org');
  });

  test('has a public key for browsers only if it is configured', async () => {
    const service = await startPushService();
    const { url } = await startTestServer({ env: service.env });
    const { url: without } = await startTestServer();
    const ask = async (where: string) => (await request(where, '{ server { webPushPublicKey } }')).data;
    expect(await ask(url)).toEqual({ server: { webPushPublicKey: service.vapid.publicKey } });
    expect(await ask(without)).toEqual({ server: { webPushPublicKey: null } });
  });

  test('does not follow redirects of the push service', async () => {
    const service = await startPushService();
    const strangers: Push[] = [];
    const elsewhere = await serve((push) => {
      strangers.push(push);
      return { status: 201 };
    });
    service.answer = () => ({ status: 302, headers: { location: `${elsewhere}/inside` } });
    const server = await startTestServer({ env: service.env });
    const { ann, ben, room } = await world(server);
    await register(ben, subscribeBrowser(service.origin).token, 'WEB_PUSH');
    await send(ann, room, 'Hello');
    await expect.poll(() => jobs(server)).toMatchObject([{ task: 'push_device', error: 'fetch failed' }]);
    expect(service.pushes).toHaveLength(1);
    expect(strangers).toEqual([]);
  });
});

describe('The recipient of a push', () => {
  test('has no open socket', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, eve, room } = await world(server);
    const other = await group(ann, eve);
    await register(ben, 'ben');
    await register(eve, 'eve');
    const socket = ben.connect();
    await socket.ask('{ viewer { id } }');
    await send(ann, room, 'Not for the phone');
    await send(ann, other, 'For the phone');
    await expect.poll(() => fcmTokens(fcm)).toEqual(['eve']);
    await settled(server);
    expect(fcmTokens(fcm)).toEqual(['eve']);

    socket.cut();
    const { presence } = server.node;
    await expect.poll(() => presence.online([keyOf('User', ben.id) ?? ''])).toEqual(new Set());
    await send(ann, room, 'For the phone now');
    await expect.poll(() => fcmTokens(fcm)).toEqual(['ben', 'eve']);
  });

  test('has a session whose refresh token has not expired', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, eve, room } = await world(server);
    const other = await group(ann, eve);
    await register(ben, 'ben');
    await register(eve, 'eve');
    await server.node.database.query(sql`
      UPDATE refresh_tokens t SET expires_at = now() FROM sessions s
        WHERE s.id = t.session_id AND s.user_id = ${keyOf('User', ben.id)}::uuid`);
    await send(ann, room, 'Not for the phone');
    await send(ann, other, 'For the phone');
    await expect.poll(() => fcmTokens(fcm)).toEqual(['eve']);
    await settled(server);
    expect(fcmTokens(fcm)).toEqual(['eve']);
  });

  test('is every other member, on each device, but no stranger', async () => {
    const fcm = await startFcm();
    const service = await startPushService();
    const server = await startTestServer({ env: { ...fcm.env, ...service.env } });
    const { ann, ben, eve } = await world(server);
    const dan = await signUp(server.url, 'dan');
    const room = await group(ann, ben, dan);
    await register(ann, 'ann');
    await register(eve, 'eve');
    await register(dan, 'dan');
    await register(ben, 'ben 1');
    await register(ben, 'ben 2');
    const browser = subscribeBrowser(service.origin);
    await register(ben, browser.token, 'WEB_PUSH');
    await send(ann, room, 'Hello');
    await expect.poll(() => fcmTokens(fcm)).toEqual(['ben 1', 'ben 2', 'dan']);
    await settled(server);
    expect(fcmTokens(fcm)).toEqual(['ben 1', 'ben 2', 'dan']);
    expect(service.pushes.map((push) => browser.read(push).body)).toEqual(['ann: Hello']);
  });

  test('has not blocked the sender of a group message', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, eve } = await world(server);
    const dan = await signUp(server.url, 'dan');
    const room = await group(ann, ben, dan, eve);
    for (const person of [ben, dan, eve]) await register(person, person.username);
    await ben.ask(BLOCK, { id: ann.id });
    await send(ann, room, 'From who is blocked');
    await expect.poll(() => fcmTokens(fcm)).toEqual(['dan', 'eve']);
    await send(dan, room, 'From who is not');
    await expect.poll(() => fcmTokens(fcm)).toEqual(['ben', 'dan', 'eve', 'eve']);
    await settled(server);
    const told = fcm.pushes.map(fcmMessage).filter(({ token }) => token === 'ben');
    expect(told.map(({ notification, data }) => [notification.body, data.unreadCount])).toEqual([
      ['dan: From who is not', '1'],
    ]);
  });

  test.each<
    [string, (about: { ann: Person; ben: Person; room: string; message: any; device: any }) => Promise<unknown>]
  >([
    ['the receiver reads the message', ({ ben, message }) => ben.ask(MARK_READ, { id: message.id })],
    ['the sender deletes the message', ({ ann, message }) => ann.ask(DELETE, { id: message.id })],
    ['the receiver is removed from the room', ({ ann, ben, room }) => ann.ask(REMOVE, { room, id: ben.id })],
    ['the receiver blocks the sender', ({ ann, ben }) => ben.ask(BLOCK, { id: ann.id })],
    ['the receiver connects', ({ ben }) => ben.connect().ask('{ viewer { id } }')],
    ['the receiver unregisters the device', ({ ben, device }) => ben.ask(UNREGISTER, { id: device.id })],
  ])('gets no push if %s before delivery', async (_, change) => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, eve, room } = await world(server);
    const other = await group(ann, eve);
    const device = await register(ben, 'ben');
    await register(eve, 'eve');
    const letGo = await keepBusy(server, fcm, ann);
    const message = await send(ann, room, 'Old by then');
    await change({ ann, ben, room, message, device });
    await send(ann, other, 'News');
    // Precondition: no worker has started either job.
    expect((await jobs(server)).slice(-2)).toEqual([
      { task: 'push_message', attempts: 0, error: null },
      { task: 'push_message', attempts: 0, error: null },
    ]);
    letGo();
    await expect.poll(() => fcmTokens(fcm)).toEqual(['busy 1', 'busy 2', 'eve']);
    await settled(server);
    expect(fcmTokens(fcm)).toEqual(['busy 1', 'busy 2', 'eve']);
  });

  test('gets no retry for a message read since the failure', { timeout: PATIENT_TEST_MS }, async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, room } = await world(server);
    await register(ben, 'ben');
    let read: () => void = () => undefined;
    const wasRead = new Promise<void>((resolve) => (read = resolve));
    fcm.answer = async () => {
      await wasRead;
      return { status: 503 };
    };
    const message = await send(ann, room, 'Hello');
    await expect.poll(() => fcm.pushes.length).toBe(1);
    await ben.ask(MARK_READ, { id: message.id });
    read();
    await settled(server);
    expect(fcm.pushes).toHaveLength(1);
  });
});

describe.each<Platform>(['FCM', 'WEB_PUSH'])('A provider of %s', (platform) => {
  test('gets one retry after a failure, and the push arrives once', { timeout: PATIENT_TEST_MS }, async () => {
    const { provider, token, bodyOf } = await providers[platform]();
    const statuses = [500];
    const delivered: string[] = [];
    provider.answer = (push) => {
      const status = statuses.shift() ?? 201;
      if (status === 201) delivered.push(bodyOf(push));
      return { status };
    };
    const server = await startTestServer({ env: provider.env });
    const { ann, ben, room } = await world(server);
    await register(ben, token, platform);
    await send(ann, room, 'Hello');
    await expect
      .poll(() => jobs(server))
      .toMatchObject([{ task: 'push_device', error: expect.stringContaining('500') }]);
    await expect.poll(() => delivered, PATIENCE).toEqual(['ann: Hello']);
    await settled(server);
    expect(delivered).toEqual(['ann: Hello']);
    expect(provider.pushes).toHaveLength(2);
  });

  test('deletes a device by reporting it as unregistered', async () => {
    const { provider, token } = await providers[platform]();
    const unregistered = {
      error: {
        code: 404,
        message: 'Requested entity was not found.',
        status: 'NOT_FOUND',
        details: [{ '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode: 'UNREGISTERED' }],
      },
    };
    provider.answer = () => (platform === 'FCM' ? { status: 404, body: unregistered } : { status: 410 });
    const server = await startTestServer({ env: provider.env });
    const { ann, ben, room } = await world(server);
    const { id } = await register(ben, token, platform);
    expect(await devices(ben)).toEqual([id]);
    await send(ann, room, 'Hello');
    await expect.poll(() => devices(ben)).toEqual([]);
    await settled(server);
    await send(ann, room, 'Hello again');
    await settled(server);
    expect(provider.pushes).toHaveLength(1);
  });
});

describe('A device', () => {
  test('belongs to the last user who registered it', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, eve, room } = await world(server);
    const other = await group(ann, eve);
    const { id } = await register(ben, 'the phone');
    expect(await register(ben, 'the phone')).toMatchObject({ id });
    expect(await devices(ben)).toEqual([id]);
    await register(eve, 'the phone');
    expect(await devices(ben)).toEqual([]);
    expect(await devices(eve)).toHaveLength(1);
    await send(ann, room, 'For ben');
    await send(ann, other, 'For eve');
    await expect.poll(() => fcm.pushes.length).toBe(1);
    await settled(server);
    expect(fcm.pushes.map((push) => fcmMessage(push).notification.body)).toEqual(['ann: For eve']);
  });

  test('is one of at most twenty; another one replaces the oldest', async () => {
    const fcm = await startFcm();
    const { url } = await startTestServer({ env: fcm.env });
    const [ann, ben] = await Promise.all([signUp(url, 'ann'), signUp(url, 'ben')]);
    const { id: bens } = await register(ben, 'ben');
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.unshift((await register(ann, `phone ${i}`)).id);
    expect(await devices(ann)).toEqual(ids);
    ids.unshift((await register(ann, 'phone 20')).id);
    expect(await devices(ann)).toEqual(ids.slice(0, 20));
    expect(await devices(ben)).toEqual([bens]);
  });

  test('can be removed once, and only by its owner', async () => {
    const fcm = await startFcm();
    const { url } = await startTestServer({ env: fcm.env });
    const [ann, ben] = await Promise.all([signUp(url, 'ann'), signUp(url, 'ben')]);
    const { id } = await register(ann, 'the phone');
    const { id: kept } = await register(ann, 'the tablet');
    expect(await ben.askForErrorCode(UNREGISTER, { id })).toBe('NOT_FOUND');
    expect(await ann.askForErrorCode(UNREGISTER, { id: ann.id })).toBe('NOT_FOUND');
    expect(await ann.ask(UNREGISTER, { id })).toEqual({
      unregisterPushDevice: { deletedDeviceId: id, viewer: { pushDevices: [{ id: kept }] } },
    });
    expect(await ann.askForErrorCode(UNREGISTER, { id })).toBe('NOT_FOUND');
  });

  test('is found by id by its owner only', async () => {
    const fcm = await startFcm();
    const { url } = await startTestServer({ env: fcm.env });
    const [ann, ben] = await Promise.all([signUp(url, 'ann'), signUp(url, 'ben')]);
    const { id } = await register(ann, 'the phone');
    expect(await ann.ask(NODE, { id })).toEqual({ node: { id, __typename: 'PushDevice' } });
    expect(await ben.ask(NODE, { id })).toEqual({ node: null });
  });

  test('is registered, listed and removed by signed-in users only', async () => {
    const fcm = await startFcm();
    const { url } = await startTestServer({ env: fcm.env });
    const ann = await signUp(url, 'ann');
    const { id } = await register(ann, 'the phone');
    const codes = async (query: string, variables: object) =>
      (await request(url, query, variables)).errors?.map((error) => error.extensions.code);
    expect(await codes(REGISTER, { input: { platform: 'FCM', token: 'another' } })).toEqual(['UNAUTHENTICATED']);
    expect(await codes(UNREGISTER, { id })).toEqual(['UNAUTHENTICATED']);
    expect(await codes(NODE, { id })).toEqual(['UNAUTHENTICATED']);
    expect(await devices(ann)).toEqual([id]);
  });

  test('exposes its token in no field', () => {
    const schema = buildSchema();
    const [device] = /^type PushDevice .*?^\}/ms.exec(printSchema(schema)) ?? [];
    expect([...(device ?? '').matchAll(/^ {2}(\w+).*:/gm)].map(([, field]) => field)).toEqual([
      'createdAt',
      'id',
      'platform',
    ]);
    // The tokens of new bots, incoming webhooks and services are returned once, to those who create them.
    const returnOnce = new Set(['AdminCreateServiceTokenPayload', 'BotPayload', 'IncomingWebhookPayload']);
    const shown = Object.values(schema.getTypeMap())
      .filter(isObjectType)
      .filter(({ name }) => !returnOnce.has(name))
      .flatMap((type) => Object.values(type.getFields()))
      .filter(({ type }) => isLeafType(getNamedType(type)))
      .map(({ name }) => name)
      .filter((name) => /token|endpoint|subscription|p256dh/i.test(name));
    expect(new Set(shown)).toEqual(new Set(['accessToken', 'accessTokenExpiresAt', 'deviceToken', 'refreshToken']));
  });
});

describe('A token', () => {
  const refusal = async (person: Person, url: string, platform: Platform, token: string) => {
    const headers = { authorization: `Bearer ${person.accessToken}` };
    return (await request(url, REGISTER, { input: { platform, token } }, headers)).errors?.map(
      (error) => error.extensions,
    );
  };
  const bad = (field: string) => [{ code: 'BAD_USER_INPUT', path: ['input', field] }];

  test('of a platform that is not configured is refused', async () => {
    const [fcm, service] = await Promise.all([startFcm(), startPushService()]);
    const subscription = subscribeBrowser(service.origin).token;
    const [{ url: withFcm }, { url: withWebPush }, { url: without }] = await Promise.all([
      startTestServer({ env: fcm.env }),
      startTestServer({ env: service.env }),
      startTestServer(),
    ]);
    const [ann, ben, eve] = await Promise.all([
      signUp(withFcm, 'ann'),
      signUp(withWebPush, 'ben'),
      signUp(without, 'eve'),
    ]);
    expect(await refusal(ann, withFcm, 'WEB_PUSH', subscription)).toEqual(bad('platform'));
    expect(await refusal(ann, withFcm, 'FCM', 'the phone')).toBeUndefined();
    expect(await refusal(ben, withWebPush, 'FCM', 'the phone')).toEqual(bad('platform'));
    expect(await refusal(ben, withWebPush, 'WEB_PUSH', subscription)).toBeUndefined();
    expect(await refusal(eve, without, 'FCM', 'the phone')).toEqual(bad('platform'));
    expect(await refusal(eve, without, 'WEB_PUSH', subscription)).toEqual(bad('platform'));
  });

  test('has 1 to 4096 characters that can be stored', async () => {
    const fcm = await startFcm();
    const { url } = await startTestServer({ env: fcm.env });
    const ann = await signUp(url, 'ann');
    for (const token of ['', 'x'.repeat(4_097), 'a\0b']) {
      expect(await refusal(ann, url, 'FCM', token)).toEqual(bad('token'));
    }
    expect(await refusal(ann, url, 'FCM', 'x'.repeat(4_096))).toBeUndefined();
  });

  test('of Web Push is a subscription at a known push service', async () => {
    const service = await startPushService();
    const origins = `${service.origin}, https://*.notify.example.com`;
    const { url } = await startTestServer({ env: { ...service.env, WEB_PUSH_ORIGINS: origins } });
    const ann = await signUp(url, 'ann');
    const at = (origin: string) => subscribeBrowser(origin).token;
    const { keys, endpoint } = JSON.parse(at(service.origin));
    const junk = [
      'junk',
      '{"endpoint"',
      'null',
      '{}',
      JSON.stringify({ endpoint }),
      JSON.stringify({ endpoint: 'nowhere', keys }),
      JSON.stringify({ endpoint, keys: { ...keys, p256dh: 'short' } }),
      JSON.stringify({ endpoint, keys: { ...keys, auth: '' } }),
    ];
    const elsewhere = [
      'http://127.0.0.1:1',
      'http://localhost:4000',
      service.origin.replace('127.0.0.1', '127.0.0.1.example.org'),
      service.origin.replace('http:', 'https:'),
      'https://fcm.googleapis.com',
      'http://one.notify.example.com',
      'https://one.notify.example.com:8443',
      'https://notify.example.com',
      'https://evilnotify.example.com',
      'https://one.notify.example.com.example.org',
      'https://one.notify.example.com@example.org',
    ].map(at);
    for (const token of [...junk, ...elsewhere]) {
      expect(await refusal(ann, url, 'WEB_PUSH', token), token).toEqual(bad('token'));
    }
    expect(await devices(ann)).toEqual([]);
    for (const origin of [service.origin, 'https://one.notify.example.com']) {
      expect(await refusal(ann, url, 'WEB_PUSH', at(origin)), origin).toBeUndefined();
    }
    expect(await devices(ann)).toHaveLength(2);
  });
});

describe('A push', () => {
  test('is queued only if another member has a device', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, eve, room } = await world(server);
    // The workers are busy, so a queued job would stay visible.
    const letGo = await keepBusy(server, fcm, ann);
    const queued = async () => (await jobs(server)).filter(({ task }) => task === 'push_message').length;
    await send(ann, room, 'Nobody has a device');
    expect(await queued()).toBe(0);
    await register(ann, 'ann');
    await register(eve, 'eve');
    await send(ann, room, 'The sender has one, and a stranger');
    expect(await queued()).toBe(0);
    await register(ben, 'ben');
    await send(ann, room, 'A member has one');
    expect(await queued()).toBe(1);
    letGo();
    await expect.poll(() => fcmTokens(fcm)).toEqual(['ben', 'busy 1', 'busy 2']);
    await settled(server);
    expect(fcmTokens(fcm)).toEqual(['ben', 'busy 1', 'busy 2']);
  });

  test('is queued in the transaction of its message', async () => {
    const fcm = await startFcm();
    const server = await startTestServer({ env: fcm.env });
    const { ann, ben, room } = await world(server);
    await register(ben, 'ben');
    const [chatroomId, userId] = [keyOf('Chatroom', room), keyOf('User', ann.id)];
    const change = new Error('I have changed my mind.');
    const work = server.node.database.transaction(async (query) => {
      await query(sql`
        SELECT FROM store_message(
          jsonb_build_object('chatroomId', ${chatroomId}::uuid, 'userId', ${userId}::uuid, 'body', 'Hello'))`);
      expect(await jobs(server, query)).toMatchObject([{ task: 'push_message' }]);
      expect(await jobs(server)).toEqual([]);
      throw change;
    });
    await expect(work).rejects.toBe(change);
    expect(await jobs(server)).toEqual([]);
    await send(ann, room, 'Hello indeed');
    await expect
      .poll(() => fcm.pushes.map((push) => fcmMessage(push).notification.body))
      .toEqual(['ann: Hello indeed']);
    expect(fcmMessage(fcm.pushes[0] as Push).data.number).toBe('1');
  });
});
