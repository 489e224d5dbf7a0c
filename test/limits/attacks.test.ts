import { describe, expect, test } from 'vitest';
import { connect, type GraphQLResult, PASSWORD, request } from '../support/client.ts';
import { PRODUCTION } from '../support/config.ts';
import { startTestServer } from '../support/server.ts';

// The checks of the scanner graphql-cop, against a server with production settings.

const ENV = { ...PRODUCTION, RATE_LIMITS: 'off' };
const SUGGESTION = 'query cop { __schema { directive } }';
const INTROSPECTION = 'query cop { __schema { types { name fields { name } } } }';
const CIRCULAR =
  'query cop { __schema { types { fields { type { fields { type { fields { type { fields { type { name } } } } } } } } } }';
const ALIASES = `query cop { ${Array.from({ length: 101 }, (_, i) => `alias${i}: __typename`).join(' ')} }`;
const DIRECTIVES = `query cop { __typename ${'@aa'.repeat(10)} }`;
const DUPLICATES = `query cop { ${'__typename '.repeat(500)} }`;
const NONSENSE = 'qwerty cop { abc }';

describe.each(['HTTP', 'WebSocket'])('over %s', (transport) => {
  const open = async () => {
    const { url } = await startTestServer({ env: ENV });
    return (query: string): Promise<GraphQLResult> =>
      transport === 'HTTP' ? request(url, query) : connect(url).ask(query);
  };

  test('suggestions, introspection and amplified queries are refused', async () => {
    const ask = await open();
    // Precondition: a valid query succeeds.
    expect((await ask('query cop { __typename }')).data).toEqual({ __typename: 'Query' });
    for (const [query, code] of [
      [SUGGESTION, 'BAD_USER_INPUT'],
      [INTROSPECTION, 'BAD_USER_INPUT'],
      [CIRCULAR, 'BAD_USER_INPUT'],
      [ALIASES, 'QUERY_TOO_COMPLEX'],
      [DIRECTIVES, 'QUERY_TOO_COMPLEX'],
      [NONSENSE, 'BAD_USER_INPUT'],
    ] as const) {
      const { data, errors } = await ask(query);
      expect(data ?? null, query.slice(0, 60)).toBeNull();
      expect(errors, query.slice(0, 60)).toHaveLength(1);
      // The error has a code and nothing else: no exception, no status.
      expect(errors?.[0]?.extensions).toEqual({ code });
      expect(JSON.stringify(errors)).not.toMatch(/did you mean|exception|stack|node_modules/i);
    }
    expect((await ask('{ users { nodes { usernam } } }')).errors?.[0]?.message).not.toMatch(/did you mean/i);
    // A repeated field is executed once or refused.
    expect(JSON.stringify(await ask(DUPLICATES)).length).toBeLessThan(500);
  });

  test('responses contain nothing besides data', async () => {
    const result = await (await open())('query cop { __typename }');
    expect(Object.keys(result)).toEqual(['data']);
  });
});

describe('HTTP only', () => {
  let url: string;
  const get = (query: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/graphql?${new URLSearchParams({ query })}`, { headers: { accept: 'application/json', ...headers } });
  const post = (body: string, type: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/graphql`, { method: 'POST', headers: { 'content-type': type, ...headers }, body });

  test('GraphiQL is off unless it is enabled', async () => {
    ({ url } = await startTestServer({ env: ENV }));
    for (const path of ['/graphql', '/graphiql', '/playground', '/console', '/altair'])
      expect(await (await fetch(url + path, { headers: { accept: 'text/html' } })).text()).not.toMatch(
        /graphiql|playground|altair/i,
      );
    ({ url } = await startTestServer({ env: { ...ENV, GRAPHIQL: 'on' } }));
    expect(await (await fetch(`${url}/graphql`, { headers: { accept: 'text/html' } })).text()).toMatch(/graphiql/i);
  });

  test('a batch is refused', async () => {
    ({ url } = await startTestServer({ env: ENV }));
    const batch = Array.from({ length: 10 }, () => ({ query: 'query cop { __typename }' }));
    const response = await post(JSON.stringify(batch), 'application/json');
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
  });

  test('mutations require POST and JSON', async () => {
    ({ url } = await startTestServer({ env: ENV }));
    expect((await get('mutation cop { __typename }')).status).toBe(405);
    const form = new URLSearchParams({ query: 'query cop { __typename }' }).toString();
    const refused = [
      [form, 'application/x-www-form-urlencoded'],
      ['{ __typename }', 'application/graphql'],
      ['{"query":"{ __typename }"}', 'text/plain'],
    ] as const;
    for (const [body, type] of refused) {
      const response = await post(body, type);
      expect([response.status, await response.text()], type).toEqual([415, '']);
    }
    const right = await post('{"query":"{ __typename }"}', 'application/json; charset=utf-8');
    expect(await right.json()).toEqual({ data: { __typename: 'Query' } });
  });

  test.each(['variables', 'extensions'])('a GET whose %s are not JSON is a bad request', async (name) => {
    ({ url } = await startTestServer({ env: ENV }));
    const response = await fetch(
      `${url}/graphql?${new URLSearchParams({ query: '{ __typename }', [name]: '[[[' }).toString()}`,
    );
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
  });

  test.each(['[', '{"a":'])('variables of 40,000 levels of %s are BAD_USER_INPUT', async (open) => {
    ({ url } = await startTestServer({ env: ENV }));
    const value = `${open.repeat(40_000)}1${(open === '[' ? ']' : '}').repeat(40_000)}`;
    const query = 'mutation ($input: SendMessageInput!) { sendMessage(input: $input) { deduplicated } }';
    const response = await post(`{"query":"${query}","variables":{"input":${value}}}`, 'application/json');
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
  });

  test('a GET query is authenticated by token, not across sites', async () => {
    ({ url } = await startTestServer({ env: ENV }));
    const SIGN_UP = `mutation { signUp(input: { username: "ann", password: "${PASSWORD}", cookie: true }) { accessToken } }`;
    const signedUp = await post(JSON.stringify({ query: SIGN_UP }), 'application/json');
    const token = ((await signedUp.json()) as GraphQLResult).data.signUp.accessToken as string;
    const ME = '{ viewer { user { username } } }';
    const ann = { data: { viewer: { user: { username: 'ann' } } } };
    expect(await (await get(ME, { authorization: `Bearer ${token}` })).json()).toEqual(ann);
    // SameSite=Strict limits the cookie to requests from pages of the server.
    const [cookie = ''] = signedUp.headers.getSetCookie();
    expect(cookie).toMatch(/SameSite=Strict/);
    const foreign = await get(ME, { cookie: cookie.split(';')[0] ?? '', origin: 'https://evil.example.org' });
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    expect(await foreign.json()).toEqual({ data: { viewer: null } });
  });

  test('malformed requests are refused without internal details', async () => {
    ({ url } = await startTestServer({ env: ENV }));
    for (const body of [
      '',
      '{',
      'null',
      '[]',
      '7',
      '{"query":7}',
      '{"query":"{ __typename }","variables":7}',
      '{"query":"\\ud800"}',
    ]) {
      const response = await post(body, 'application/json');
      const text = await response.text();
      expect(response.status, body).toBeGreaterThanOrEqual(200);
      expect(response.status, body).toBeLessThan(500);
      expect(JSON.parse(text), body).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
      expect(text).not.toMatch(/stack|node_modules|SyntaxError|position \d/);
    }
  });
});
