import { getIntrospectionQuery } from 'graphql';
import { describe, expect, test } from 'vitest';
import { sql } from '../../src/platform/database/database.ts';
import { connect, type GraphQLResult, request } from '../support/client.ts';
import { startTestServer } from '../support/server.ts';
import { MESSAGE_ADDED, send, world } from '../support/world.ts';

type Ask = (query: string, variables?: object) => Promise<GraphQLResult>;

/** Both transports, signed out. */
const transports: [string, (url: string) => Ask][] = [
  ['HTTP', (url) => (query, variables) => request(url, query, variables)],
  [
    'WebSocket',
    (url) => {
      const socket = connect(url);
      return (query, variables) => socket.ask(query, variables);
    },
  ],
];

const codes = ({ errors }: GraphQLResult) => errors?.map((error) => error.extensions.code);
const repeat = (count: number, text: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => text(i)).join(' ');
/** `{ viewer { user { … } } }` with the given number of levels. */
const deep = (levels: number) =>
  `{ viewer { chatrooms(first: 1) { nodes ${'{ lastMessage { chatroom '.repeat((levels - 4) / 2)}{ id } ${'} }'.repeat((levels - 4) / 2)} } } }`;

describe.each(transports)('over %s', (_, open) => {
  test('a query over a limit fails with one error and advice', async () => {
    const { url } = await startTestServer();
    const ask = open(url);
    const just = [
      deep(12),
      `{ ${repeat(15, (i) => `a${i}: __typename`)} }`,
      `{ ${repeat(30, () => '__typename')} ... { ${repeat(20, () => '__typename')} } }`,
      `{ viewer ${'@include(if: true) '.repeat(1)}{ ${repeat(4, () => 'id @skip(if: false)')} } }`,
      `{ nodes(ids: [${repeat(1_987, () => '"x"')}]) { id } }`,
    ];
    for (const query of just)
      expect(codes(await ask(query)) ?? [], query.slice(0, 80)).not.toContain('QUERY_TOO_COMPLEX');
    const over: [string, RegExp][] = [
      [deep(14), /at most 12 levels/],
      // Fragments do not hide the depth.
      [
        `{ viewer { ...A } } fragment A on Viewer { chatrooms { ...B } } fragment B on ChatroomConnection { nodes { ... on Chatroom { lastMessage { chatroom { lastMessage { chatroom { lastMessage { chatroom { lastMessage { chatroom { lastMessage { id } } } } } } } } } } } }`,
        /at most 12 levels/,
      ],
      [`{ ${repeat(16, (i) => `a${i}: __typename`)} }`, /at most 15 aliases/],
      [`{ ...F ...F } fragment F on Query { ${repeat(8, (i) => `a${i}: __typename`)} }`, /at most 15 aliases/],
      [`{ ${repeat(6, () => '__typename @skip(if: false)')} }`, /at most 5 directives/],
      [`{ ${repeat(30, () => '__typename')} ... { ${repeat(21, () => '__typename')} } }`, /at most 50 times/],
      [`{ __typename ${'@nonsense'.repeat(10)} }`, /at most 5 directives/],
      [`{ nodes(ids: [${repeat(1_990, () => '"x"')}]) { id } }`, /at most 2000 tokens/],
    ];
    for (const [query, sentence] of over) {
      const result = await ask(query);
      expect(codes(result), query.slice(0, 80)).toEqual(['QUERY_TOO_COMPLEX']);
      expect(result.errors?.[0]?.message).toMatch(sentence);
      expect(Object.keys(result.errors?.[0]?.extensions ?? {})).toEqual(['code']);
      // The refusal is the same once the document is cached.
      expect(codes(await ask(query))).toEqual(['QUERY_TOO_COMPLEX']);
    }
  });

  test('lists count by their size arguments, also in variables', async () => {
    const { url } = await startTestServer({ env: { MAX_COMPLEXITY: '200' } });
    const ask = open(url);
    const PAGE = 'query ($n: Int) { viewer { chatrooms(first: $n) { edges { cursor node { id } } } } }';
    expect((await ask(PAGE, { n: 40 })).errors).toBeUndefined();
    expect(codes(await ask(PAGE, { n: 70 }))).toEqual(['QUERY_TOO_COMPLEX']);
    // A page has 20 items by default. `last` counts like `first`.
    expect((await ask(PAGE)).errors).toBeUndefined();
    expect(codes(await ask('{ viewer { chatrooms(last: 100) { nodes { id name topic } } } }'))).toEqual([
      'QUERY_TOO_COMPLEX',
    ]);
    expect(codes(await ask('{ viewer { chatrooms { nodes { messages { nodes { id } } } } } }'))).toEqual([
      'QUERY_TOO_COMPLEX',
    ]);
    expect(
      (await ask('{ viewer { chatrooms(first: 9) { nodes { messages { nodes { id } } } } } }')).errors?.[0]?.message,
    ).toBe(
      'The operation asks for up to 380 fields; the maximum is 200. `viewer.chatrooms.messages` alone may return 180 items. Ask for fewer items or fields, or request nested lists in a separate operation.',
    );
    // An invalid page size is refused by the field.
    expect(codes(await ask(PAGE, { n: 'many' }))).toEqual(['BAD_USER_INPUT']);
    const ids = Array.from({ length: 100 }, () => 'x');
    expect(codes(await ask('query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }', { ids }))).toEqual([
      'QUERY_TOO_COMPLEX',
    ]);
  });

  test('the readers of a message cost more than its other fields', async () => {
    const server = await startTestServer({ env: { MAX_COMPLEXITY: '30' } });
    const { ann, ben, room } = await world(server);
    const { id } = await send(ann, room, 'hello');
    await ben.ask('mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }', { id });
    const query =
      'query ($id: ID!, $last: Int!) { chatroom(id: $id) { messages(last: $last) { nodes { seenBy(first: 1) { nodes { username } } } } } }';
    const { chatroom } = await ann.ask(query, { id: room, last: 1 });
    expect(chatroom.messages.nodes).toEqual([{ seenBy: { nodes: [{ username: 'ben' }] } }]);
    expect(await ann.askForErrorCode(query, { id: room, last: 2 })).toBe('QUERY_TOO_COMPLEX');
  });

  test('a subscription is refused at its start, not at each event', async () => {
    const server = await startTestServer({ env: { MAX_COMPLEXITY: '30' } });
    const { ann, room } = await world(server);
    const [stream, tooMuch] = [MESSAGE_ADDED, MESSAGE_ADDED.replace('body', 'body seenBy { nodes { id username } }')];
    const listening = ann.connect().subscribe(stream, { room });
    await listening.ready();
    await send(ann, room, 'hello');
    expect((await listening.next()).message.body).toBe('hello');
    expect(await ann.connect().subscribe(tooMuch, { room }).ended).toMatchObject([
      { extensions: { code: 'QUERY_TOO_COMPLEX' } },
    ]);
    const sse = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'text/event-stream',
        authorization: `Bearer ${ann.accessToken}`,
      },
      body: JSON.stringify({ query: tooMuch, variables: { room } }),
    });
    expect(await sse.text()).toContain('QUERY_TOO_COMPLEX');
  });

  test('an execution times out with a request id and nothing else', async () => {
    const { url, node } = await startTestServer({ env: { EXECUTION_SECONDS: '1' } });
    const lock = node.database.transaction(async (query) => {
      await query(sql`LOCK TABLE users IN ACCESS EXCLUSIVE MODE`);
      const result = await open(url)(
        'mutation { signIn(input: { usernameOrEmail: "ann", password: "correct horse" }) { accessToken } }',
      );
      await query(sql`SELECT 1`);
      return result;
    });
    const { errors } = await lock;
    expect(errors?.[0]?.extensions).toEqual({
      code: 'INTERNAL_SERVER_ERROR',
      requestId: expect.stringMatching(/^[\w-]{8,64}$/) as unknown,
    });
    expect(JSON.stringify(errors)).not.toMatch(/ms\.|longer|at .*\.ts/);
  });

  test('the schema is public in development and hidden without INTROSPECTION', async () => {
    const on = open((await startTestServer()).url);
    for (const options of [{}, { inputValueDeprecation: true, schemaDescription: true, specifiedByUrl: true }]) {
      const { data, errors } = await on(getIntrospectionQuery(options));
      expect(errors).toBeUndefined();
      expect(data.__schema.types.length).toBeGreaterThan(50);
    }
    expect((await on('{ nodez }')).errors?.[0]?.message).toContain('Did you mean "node"');
    const off = open((await startTestServer({ env: { INTROSPECTION: 'off' } })).url);
    for (const query of [
      getIntrospectionQuery(),
      '{ __type(name: "User") { name } }',
      '{ ...F } fragment F on Query { a: __schema { types { name } } }',
    ])
      expect(codes(await off(query)), query).toEqual(['BAD_USER_INPUT']);
    // The schema cannot be guessed from suggestions either.
    for (const [query, variables] of [
      ['{ nodez { id } }'],
      ['{ user(usernam: "x") { id } }'],
      ['{ node(id: "x") { username } }'],
      ['mutation { createChatroom(input: { kind: GROOP, nam: "x" }) { chatroom { id } } }'],
      [
        'mutation ($input: CreateChatroomInput!) { createChatroom(input: $input) { chatroom { id } } }',
        { input: { kind: 'GROOP', nam: 'x' } },
      ],
      ['query ($x: Usr) { viewer { id } }'],
    ] as [string, object?][]) {
      const result = await off(query, variables);
      expect(result.errors?.length, query).toBeGreaterThan(0);
      expect(JSON.stringify(result)).not.toContain('Did you mean');
    }
  });
});

describe('HTTP only', () => {
  test('a body over 256 KB is refused with 413, however sent', async () => {
    const { url } = await startTestServer();
    const post = (bytes: number, stream: boolean) => {
      const head = '{"query":"{ viewer { id } }","variables":{"x":"';
      const text = `${head}${'x'.repeat(bytes - head.length - 3)}"}}`;
      return fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: stream ? new Blob([text]).stream() : text,
        duplex: 'half',
      } as RequestInit);
    };
    for (const stream of [false, true]) {
      expect((await post(262_144, stream)).status).toBe(200);
      const refused = await post(262_145, stream);
      expect(refused.status).toBe(413);
      expect(await refused.json()).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
    }
  });

  test('a body that is not UTF-8 is 400, chunked or not', async () => {
    const { url } = await startTestServer();
    const post = async (bytes: Buffer, stream: boolean) => {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: stream ? new Blob([new Uint8Array(bytes)]).stream() : new Uint8Array(bytes),
        duplex: 'half',
      } as RequestInit);
      return { status: response.status, result: (await response.json()) as GraphQLResult };
    };
    const bodyOf = (...bytes: number[]) =>
      Buffer.concat([
        Buffer.from('{"query":"{ __typename }","variables":{"x":"'),
        Buffer.from(bytes),
        Buffer.from('"}}'),
      ]);
    // U+FFFD itself is an ordinary character.
    for (const text of ['ü', '😀', '\ufffd', '']) {
      for (const stream of [false, true]) expect((await post(bodyOf(...Buffer.from(text)), stream)).status).toBe(200);
    }
    // Latin-1, a truncated character, an overlong slash, half of a surrogate pair, and a code point above U+10FFFF.
    const broken = [[0xfc], [0xf0, 0x9f, 0x98], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]];
    for (const bytes of broken) {
      for (const stream of [false, true]) {
        const { status, result } = await post(bodyOf(...bytes), stream);
        expect([status, result.errors?.[0]?.extensions.code], bytes.join()).toEqual([400, 'BAD_USER_INPUT']);
      }
    }
  });
});
