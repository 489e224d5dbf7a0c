import { createClient } from 'graphql-ws';
import { describe, expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { sql } from '../src/platform/database/database.ts';
import { connect, type GraphQLResult, handshake, PASSWORD, request, signUp } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { MESSAGE_ADDED, send, world } from './support/world.ts';

const SIGN_UP = `mutation ($input: SignUpInput!) {
  signUp(input: $input) { accessToken refreshToken viewer { user { username } } }
}`;
const SIGN_IN = `mutation ($input: SignInInput!) {
  signIn(input: $input) { accessToken refreshToken viewer { user { username } } }
}`;
const REFRESH = `mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) { accessToken refreshToken } }`;
const SIGN_OUT = 'mutation { signOut { ok } }';
const UPDATE_BIO = 'mutation { updateProfile(input: { bio: "was here" }) { viewer { id } } }';
const ME = '{ viewer { user { username } } }';

const FOREIGN = 'https://evil.example.org';
const NAMES = ['parley_access', 'parley_refresh', 'parley_files'];
/** Returns the attributes of a cookie of the session: the file ticket has a path of its own. */
const attributesOf = (name: string, attributes: string[]) =>
  attributes.map((attribute) =>
    name === 'parley_files' ? attribute.replace('path=/graphql', 'path=/files') : attribute,
  );

const codes = ({ errors }: GraphQLResult) => errors?.map((error) => error.extensions.code);

interface SetCookie {
  name: string;
  value: string;
  /** Set-Cookie attributes in lower case, in alphabetical order. */
  attributes: string[];
}

interface Answer extends GraphQLResult {
  status: number;
  setCookies: SetCookie[];
}

async function read(response: Response): Promise<Answer> {
  const setCookies = response.headers.getSetCookie().map((line) => {
    const [pair = '', ...attributes] = line.split(/; */);
    const [name = '', value = ''] = pair.split('=');
    return { name, value, attributes: attributes.map((attribute) => attribute.toLowerCase()).sort() };
  });
  // A request that cannot be parsed as an operation has a response without a body.
  const body = await response.text();
  return { ...((body ? JSON.parse(body) : {}) as GraphQLResult), status: response.status, setCookies };
}

/** A minimal browser. It stores the cookies that it receives, and sends them with every request. */
interface Browser {
  /** Returns the Cookie header that the browser would send. */
  cookie(): string;
  cookies: Map<string, string>;
  /** Sends an operation from a page of the server, unless the headers specify another origin. */
  ask(query: string, variables?: object, headers?: Record<string, string>): Promise<Answer>;
  /** Sends a query by GET, as navigation to an address does. */
  get(query: string, headers?: Record<string, string>): Promise<Answer>;
  /** Sends any body without an Origin header. */
  post(body: string | FormData | URLSearchParams, headers?: Record<string, string>): Promise<Answer>;
}

function openBrowser(url: string): Browser {
  const cookies = new Map<string, string>();
  const cookie = () => [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  async function send(path: string, init: RequestInit & { headers: Record<string, string> }): Promise<Answer> {
    const headers = { ...(cookies.size > 0 ? { cookie: cookie() } : {}), ...init.headers };
    const answer = await read(await fetch(`${url}/graphql${path}`, { ...init, headers }));
    for (const { name, value } of answer.setCookies)
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    return answer;
  }
  return {
    cookies,
    cookie,
    ask: (query, variables = {}, headers = {}) =>
      send('', {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin: url, ...headers },
        body: JSON.stringify({ query, variables }),
      }),
    get: (query, headers = {}) => send(`?${new URLSearchParams({ query }).toString()}`, { method: 'GET', headers }),
    post: (body, headers = {}) => send('', { method: 'POST', headers, body }),
  };
}

/** Creates an account in a new browser. */
async function signUpInBrowser(url: string, username = 'ann'): Promise<Browser> {
  const browser = openBrowser(url);
  const { errors } = await browser.ask(SIGN_UP, { input: { username, password: PASSWORD, cookie: true } });
  if (errors) throw new Error(JSON.stringify(errors));
  return browser;
}

/** Opens a socket as a page does. The browser adds the headers because a page cannot. */
function connectWith(url: string, headers: Record<string, string>, connectionParams: Record<string, unknown> = {}) {
  class BrowserSocket extends WebSocket {
    constructor(address: string, protocols: string | string[]) {
      super(address, protocols, { headers });
    }
  }
  let onClosed: (code: number) => void;
  const closed = new Promise<number>((resolve) => (onClosed = resolve));
  const client = createClient({
    url: `${url.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: BrowserSocket,
    retryAttempts: 0,
    lazy: false,
    onNonLazyError: () => undefined,
    connectionParams,
    on: {
      closed: (event) => {
        onClosed((event as { code: number }).code);
      },
    },
  });
  onTestFinished(async () => {
    await client.dispose();
  });
  return { client, closed };
}

async function biosOf({ node }: TestServer): Promise<(string | null)[]> {
  return (await node.database.query<{ bio: string | null }>(sql`SELECT bio FROM users`)).map(({ bio }) => bio);
}

async function sessionsOf({ node }: TestServer): Promise<{ ended: boolean }[]> {
  return node.database.query(sql`SELECT ended_at IS NOT NULL AS ended FROM sessions ORDER BY created_at`);
}

describe('signing in with cookies', () => {
  test.each([
    ['no PUBLIC_URL', {}, []],
    ['a PUBLIC_URL of http', { PUBLIC_URL: 'http://chat.example.org' }, []],
    ['a PUBLIC_URL of https', { PUBLIC_URL: 'https://chat.example.org' }, ['secure']],
  ])('sets cookies hidden from scripts and other sites (%s)', async (_, env, secure) => {
    const { url } = await startTestServer({ env });
    const attributes = ['httponly', 'max-age=2592000', 'path=/graphql', 'samesite=strict', ...secure].sort();
    const browser = openBrowser(url);
    const signedUp = await browser.ask(SIGN_UP, { input: { username: 'ann', password: PASSWORD, cookie: true } });
    const signedIn = await browser.ask(SIGN_IN, {
      input: { usernameOrEmail: 'ann', password: PASSWORD, cookie: true },
    });
    for (const [answer, payload] of [
      [signedUp, signedUp.data.signUp],
      [signedIn, signedIn.data.signIn],
    ] as const) {
      expect(payload).toMatchObject({ refreshToken: null, viewer: { user: { username: 'ann' } } });
      const [access, refresh, files] = answer.setCookies;
      expect(answer.setCookies.map(({ name }) => name)).toEqual([...NAMES, 'parley_device']);
      expect(access).toEqual({ name: 'parley_access', value: payload.accessToken, attributes });
      expect(refresh).toEqual({ name: 'parley_refresh', value: expect.stringMatching(/^[\w-]{43}$/), attributes });
      expect(files?.attributes).toEqual(attributesOf('parley_files', attributes));
    }
  });

  test('requires cookie: true', async () => {
    const { url } = await startTestServer();
    const browser = openBrowser(url);
    const { data, setCookies } = await browser.ask(SIGN_UP, { input: { username: 'ann', password: PASSWORD } });
    expect(data.signUp.refreshToken).toMatch(/^[\w-]{43}$/);
    expect(setCookies).toEqual([]);
  });

  test('sets no cookie if it fails', async () => {
    const { url } = await startTestServer();
    await signUp(url, 'ann');
    const browser = openBrowser(url);
    const input = { usernameOrEmail: 'ann', password: 'wrong password', cookie: true };
    const answer = await browser.ask(SIGN_IN, { input });
    expect(codes(answer)).toEqual(['INVALID_CREDENTIALS']);
    expect(answer.setCookies).toEqual([]);
  });

  test('over a WebSocket is BAD_USER_INPUT and creates nothing', async () => {
    const server = await startTestServer();
    await signUp(server.url, 'ben');
    const socket = connect(server.url);
    for (const [query, input] of [
      [SIGN_UP, { username: 'ann', password: PASSWORD, cookie: true }],
      [SIGN_IN, { usernameOrEmail: 'ben', password: PASSWORD, cookie: true }],
    ] as const) {
      const { errors } = await socket.ask(query, { input });
      expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', path: ['input', 'cookie'] });
    }
    expect(await server.node.database.prisma.user.count()).toBe(1);
    expect(await sessionsOf(server)).toHaveLength(1);
    // The socket stays open and still allows sign-up without cookies.
    expect((await socket.ask(SIGN_UP, { input: { username: 'ann', password: PASSWORD } })).errors).toBeUndefined();
  });
});

describe('the cookie', () => {
  test('authenticates pages of the server and clients without a page', async () => {
    const server = await startTestServer();
    const browser = await signUpInBrowser(server.url);
    const ann = { viewer: { user: { username: 'ann' } } };
    expect((await browser.ask(ME)).data).toEqual(ann);
    expect((await browser.get(ME)).data).toEqual(ann);
    expect((await browser.get(ME, { origin: server.url })).data).toEqual(ann);
    const json = { 'content-type': 'application/json' };
    expect((await browser.post(JSON.stringify({ query: ME }), json)).data).toEqual(ann);

    expect((await browser.ask(UPDATE_BIO)).errors).toBeUndefined();
    expect(await biosOf(server)).toEqual(['was here']);
  });

  test('is found among other cookies, and refused if altered', async () => {
    const { url } = await startTestServer();
    const browser = await signUpInBrowser(url);
    const [access = ''] = browser.cookie().split('; ');
    const ask = async (cookie: string) => request(url, ME, {}, { cookie, origin: url });
    for (const cookie of [`a=b; ${access}`, `${access};a="x;y"`, `not_${access}; ${access}`])
      expect((await ask(cookie)).data?.viewer?.user.username, cookie).toBe('ann');
    for (const cookie of ['', `not_${access}`, `a=${access}`, 'parley_access=', 'parley_access="a b"'])
      expect(await ask(cookie), cookie).toEqual({ data: { viewer: null } });
    expect(codes(await ask('parley_access=a.b.c'))).toEqual(['UNAUTHENTICATED']);
    // The cookies are not interchangeable.
    const refresh = `parley_access=${browser.cookies.get('parley_refresh') ?? ''}`;
    expect(codes(await ask(refresh))).toEqual(['UNAUTHENTICATED']);
  });

  test('opens a WebSocket that works as with a token', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const browser = openBrowser(server.url);
    await browser.ask(SIGN_IN, { input: { usernameOrEmail: 'ben', password: PASSWORD, cookie: true } });
    const { client, closed } = connectWith(server.url, { cookie: browser.cookie(), origin: server.url });

    const me = client.iterate({ query: ME });
    expect((await me.next()).value).toEqual({ data: { viewer: { user: { username: 'ben' } } } });
    const { body } = await send(ann, room, 'before');
    const cursor = (await ann.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room })).chatroom.cursor;
    expect(body).toBe('before');
    const events = client.iterate<any>({ query: MESSAGE_ADDED, variables: { room, after: cursor } });
    const next = events.next();
    await send(ann, room, 'over the socket');
    expect((await next).value.data.messageAdded.message).toMatchObject({
      body: 'over the socket',
      sender: { username: 'ann' },
    });

    // The socket belongs to the session and ends with it.
    await browser.ask(SIGN_OUT);
    expect(await closed).toBe(4401);
  });

  test('closes the WebSocket if it is invalid, as a token does', async () => {
    const { url } = await startTestServer();
    const browser = await signUpInBrowser(url);
    const cookie = browser.cookie();
    await browser.ask(SIGN_OUT);
    expect(await connectWith(url, { cookie, origin: url }).closed).toBe(4401);
  });

  test('opens no WebSocket for the page of another site', async () => {
    const { url } = await startTestServer({ env: { ALLOWED_ORIGINS: 'https://friend.example.org' } });
    const browser = await signUpInBrowser(url);
    const cookie = browser.cookie();
    const { host } = new URL(url);
    const foreign = [
      FOREIGN,
      'null',
      `http://not-${host}`,
      `${url}.evil.example.org`,
      `https://${host}@evil.example.org`,
    ];
    for (const origin of foreign) expect(await handshake(url, { cookie, origin }), origin).toBe(403);
    for (const origin of [url, 'https://friend.example.org'])
      expect(await handshake(url, { cookie, origin }), origin).toBe(101);
    expect(await handshake(url, { cookie })).toBe(101);
  });

  test('is overridden by an Authorization header', async () => {
    const { url } = await startTestServer();
    const browser = await signUpInBrowser(url);
    const ben = await signUp(url, 'ben');
    const authorization = `Bearer ${ben.accessToken}`;
    expect((await browser.ask(ME, {}, { authorization })).data.viewer.user.username).toBe('ben');
    expect((await browser.get(ME, { authorization })).data.viewer.user.username).toBe('ben');
    expect(codes(await browser.ask(ME, {}, { authorization: 'Bearer nonsense' }))).toEqual(['UNAUTHENTICATED']);

    const { client } = connectWith(url, { cookie: browser.cookie(), origin: url }, { authorization });
    const { value } = await client.iterate<any>({ query: ME }).next();
    expect(value.data.viewer.user.username).toBe('ben');
  });

  test('is accepted from an allowed origin, which may read the response', async () => {
    const friend = 'https://friend.example.org';
    const server = await startTestServer({ env: { ALLOWED_ORIGINS: `https://other.example.org, ${friend}` } });
    const browser = await signUpInBrowser(server.url);
    expect((await browser.ask(ME, {}, { origin: friend })).data.viewer.user.username).toBe('ann');
    expect((await browser.get(ME, { origin: friend })).data.viewer.user.username).toBe('ann');
    expect((await browser.ask(UPDATE_BIO, {}, { origin: friend })).errors).toBeUndefined();
    expect(await biosOf(server)).toEqual(['was here']);
    const refreshed = await browser.ask(REFRESH, { input: {} }, { origin: friend });
    expect(refreshed.setCookies.map(({ name }) => name)).toEqual(NAMES);

    const corsOf = async (origin: string) => {
      const { headers } = await fetch(`${server.url}/graphql`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
      });
      return [headers.get('access-control-allow-origin'), headers.get('access-control-allow-credentials')];
    };
    expect(await corsOf(friend)).toEqual([friend, 'true']);
    expect((await corsOf(FOREIGN))[0]).not.toBe(FOREIGN);
  });
});

describe('a request that another site makes a browser send', () => {
  type Body = (query: string, variables?: object) => string | FormData | URLSearchParams;
  const json: Body = (query, variables = {}) => JSON.stringify({ query, variables });
  const form: Body = (query, variables = {}) => new URLSearchParams({ query, variables: JSON.stringify(variables) });
  const formWithFiles: Body = (query, variables = {}) => {
    const data = new FormData();
    data.set('operations', JSON.stringify({ query, variables }));
    data.set('map', '{}');
    return data;
  };
  const understood: [string, Body, Record<string, string>][] = [
    ['JSON and a foreign origin', json, { 'content-type': 'application/json', origin: FOREIGN }],
    ['JSON and the origin of a sandbox', json, { 'content-type': 'application/json', origin: 'null' }],
  ];
  const misunderstood: [string, Body, Record<string, string>][] = [
    ['a form', form, {}],
    ['a form and a foreign origin', form, { origin: FOREIGN }],
    ['a form with files', formWithFiles, {}],
    ['a form with files and a foreign origin', formWithFiles, { origin: FOREIGN }],
    ['plain text', json, { 'content-type': 'text/plain' }],
    ['plain text that speaks of JSON', json, { 'content-type': 'text/plain; application/json' }],
    ['a body without a type', json, { 'content-type': '' }],
  ];
  const DELETE = `mutation { deleteAccount(input: { password: "${PASSWORD}" }) { ok } }`;
  const mutations = [UPDATE_BIO, SIGN_OUT, DELETE];

  async function expectNothingHappened(server: TestServer, browser: Browser): Promise<void> {
    expect(await biosOf(server)).toEqual([null]);
    expect(await sessionsOf(server)).toEqual([{ ended: false }]);
    expect((await browser.ask(ME)).data.viewer.user.username).toBe('ann');
    expect((await browser.ask(REFRESH, { input: {} })).errors).toBeUndefined();
  }

  test.each(understood)('is unauthenticated: %s', async (_, body, headers) => {
    const server = await startTestServer();
    const browser = await signUpInBrowser(server.url);
    const authorization = `Bearer ${browser.cookies.get('parley_access') ?? ''}`;
    const control = await browser.post(body(ME), { ...headers, authorization });
    expect(control.data).toEqual({ viewer: { user: { username: 'ann' } } });

    expect((await browser.post(body(ME), headers)).data).toEqual({ viewer: null });
    for (const query of mutations) {
      const answer = await browser.post(body(query), headers);
      expect(codes(answer), query).toEqual(['UNAUTHENTICATED']);
      expect(answer.setCookies, query).toEqual([]);
    }
    const refreshed = await browser.post(body(REFRESH, { input: {} }), headers);
    expect(codes(refreshed)).toEqual(['BAD_USER_INPUT']);
    expect(refreshed.setCookies).toEqual([]);
    await expectNothingHappened(server, browser);
  });

  test.each(misunderstood)('is rejected as malformed: %s', async (_, body, headers) => {
    const server = await startTestServer();
    const browser = await signUpInBrowser(server.url);
    for (const query of [ME, ...mutations]) {
      const answer = await browser.post(body(query), headers);
      expect(answer, query).toEqual({ status: 415, setCookies: [] });
    }
    await expectNothingHappened(server, browser);
  });

  test.each(understood)('signs nobody in with cookies: %s', async (_, body, headers) => {
    const server = await startTestServer();
    await signUp(server.url, 'eve');
    const browser = openBrowser(server.url);
    for (const [query, input] of [
      [SIGN_IN, { usernameOrEmail: 'eve', password: PASSWORD, cookie: true }],
      [SIGN_UP, { username: 'ann', password: PASSWORD, cookie: true }],
    ] as const) {
      const answer = await browser.post(body(query, { input }), headers);
      expect(answer.setCookies).toEqual([]);
      expect(codes(answer)).toEqual(['BAD_USER_INPUT']);
    }
    expect(await server.node.database.prisma.user.count()).toBe(1);
    expect(await sessionsOf(server)).toHaveLength(1);
  });

  test('by GET changes nothing and is unauthenticated', async () => {
    const server = await startTestServer();
    const browser = await signUpInBrowser(server.url);
    for (const query of [UPDATE_BIO, SIGN_OUT]) {
      const answer = await browser.get(query);
      expect([answer.status, codes(answer)], query).toEqual([405, ['BAD_USER_INPUT']]);
    }
    expect(await biosOf(server)).toEqual([null]);
    expect(await sessionsOf(server)).toEqual([{ ended: false }]);
    expect(await browser.get(ME, { origin: FOREIGN })).toMatchObject({ data: { viewer: null } });
  });
});

describe('a session in cookies', () => {
  test('is refreshed by its cookie, which changes', async () => {
    const server = await startTestServer();
    const browser = await signUpInBrowser(server.url);
    const before = new Map(browser.cookies);
    const { data, setCookies } = await browser.ask(REFRESH, { input: {} });
    expect(data.refreshSession).toEqual({ accessToken: setCookies[0]?.value, refreshToken: null });
    expect(setCookies.map(({ name }) => name)).toEqual(NAMES);
    expect(browser.cookies.get('parley_refresh')).not.toBe(before.get('parley_refresh'));
    expect((await browser.ask(ME)).data.viewer.user.username).toBe('ann');
    // A refresh also works without the access cookie, which may have expired.
    browser.cookies.delete('parley_access');
    expect((await browser.ask(REFRESH, { input: { refreshToken: null } })).errors).toBeUndefined();
    expect((await browser.ask(ME)).data.viewer.user.username).toBe('ann');
    expect(await sessionsOf(server)).toEqual([{ ended: false }]);
  });

  test('survives two parallel refreshes of two tabs and a lost response', async () => {
    const server = await startTestServer();
    const browser = await signUpInBrowser(server.url);
    const stale = openBrowser(server.url);
    stale.cookies.set('parley_refresh', browser.cookies.get('parley_refresh') ?? '');
    const answers = await Promise.all([browser, stale].map((tab) => tab.ask(REFRESH, { input: {} })));
    expect(answers.map(({ errors }) => errors)).toEqual([undefined, undefined]);
    for (const tab of [browser, stale]) expect((await tab.ask(ME)).data.viewer.user.username).toBe('ann');
    expect(await sessionsOf(server)).toEqual([{ ended: false }]);
  });

  test('ends if a cookie is reused 10 s after its replacement', async () => {
    const server = await startTestServer();
    const browser = await signUpInBrowser(server.url);
    const thief = openBrowser(server.url);
    thief.cookies.set('parley_refresh', browser.cookies.get('parley_refresh') ?? '');
    expect((await browser.ask(REFRESH, { input: {} })).errors).toBeUndefined();
    await server.node.database.query(sql`UPDATE refresh_tokens SET used_at = used_at - interval '11 seconds'`);

    const replay = await thief.ask(REFRESH, { input: {} });
    expect(codes(replay)).toEqual(['UNAUTHENTICATED']);
    expect(replay.setCookies).toEqual([]);
    expect(await sessionsOf(server)).toEqual([{ ended: true }]);
    expect(codes(await browser.ask(ME))).toEqual(['UNAUTHENTICATED']);
    expect(codes(await browser.ask(REFRESH, { input: {} }))).toEqual(['UNAUTHENTICATED']);
  });

  test('cannot be refreshed without token and cookie', async () => {
    const { url } = await startTestServer();
    for (const input of [{}, { refreshToken: null }, { refreshToken: '' }])
      expect(codes(await openBrowser(url).ask(REFRESH, { input }))).toEqual(['BAD_USER_INPUT']);
  });

  test('keeps its cookies if a client refreshes a separate token', async () => {
    const { url } = await startTestServer();
    const browser = await signUpInBrowser(url);
    const ben = await signUp(url, 'ben');
    const { data, setCookies } = await browser.ask(REFRESH, { input: { refreshToken: ben.refreshToken } });
    expect(data.refreshSession.refreshToken).toMatch(/^[\w-]{43}$/);
    expect(setCookies).toEqual([]);
    expect((await browser.ask(ME)).data.viewer.user.username).toBe('ann');
  });

  test.each([
    ['signing out', SIGN_OUT],
    ['deleting the account', `mutation { deleteAccount(input: { password: "${PASSWORD}" }) { ok } }`],
  ])('ends with %s, which deletes the cookies', async (_, query) => {
    const { url } = await startTestServer();
    const browser = await signUpInBrowser(url);
    const cookie = browser.cookie();
    const { errors, setCookies } = await browser.ask(query);
    expect(errors).toBeUndefined();
    const attributes = ['httponly', 'max-age=0', 'path=/graphql', 'samesite=strict'];
    expect(setCookies).toEqual(NAMES.map((name) => ({ name, value: '', attributes: attributesOf(name, attributes) })));
    // The device cookie remains and proves the earlier sign-in.
    expect(browser.cookie()).toMatch(/^parley_device=[\w.-]+$/);
    expect(await browser.ask(ME)).toMatchObject({ data: { viewer: null } });
    // A stolen copy of the cookies is worthless after sign-out.
    expect(codes(await request(url, ME, {}, { cookie, origin: url }))).toEqual(['UNAUTHENTICATED']);
    const refreshed = await request(url, REFRESH, { input: {} }, { cookie, origin: url });
    expect(codes(refreshed)).toEqual(['UNAUTHENTICATED']);
  });
});
