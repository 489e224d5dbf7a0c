/**
 * Tests every text argument of the schema with hostile texts. The arguments are found by walking the schema, so that
 * new arguments are included automatically.
 */
import {
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
} from 'graphql';
import { expect, test } from 'vitest';
import webPush from 'web-push';
import { buildSchema } from '../../src/features/schema.ts';
import { startMeteredServer } from '../support/stall.ts';
import { send, world } from '../support/world.ts';

const TEXTS = [
  ...['', ' ', '\0', 'a\0b', '\ud800', '\udc00a', 'a\ud83d', '\u0007', 'a\u001b[31mb', 'a\nb', 'a\u0085b', '\u2028'],
  ...['\u202e', 'a\u202eb\u2066', '\u200b', '\u2800', '\u3164\u3164\u3164', '\u034f\ufe0f\u{e0100}', '\u{e0001}\u2060'],
  // A regular expression with overlapping alternatives takes exponential time.
  `${'\u200b'.repeat(28)}x`,
  ...[
    '𞤢'.repeat(70),
    `a${'𞤢'.repeat(32)}`,
    '👩‍👩‍👧‍👦'.repeat(20),
    '👍\ufe0f',
    'שלום\u200f',
    'e\u0301',
    '\ufffe\uffff\u{10ffff}',
  ],
  ...[
    `a${'\u0315\u0316'.repeat(24_500)}`,
    '\ufdfa'.repeat(33_000),
    'eyJ'.repeat(30_000),
    '{"__proto__":[]}',
    '%00%',
    "'; --",
  ],
  ...['x'.repeat(1_000_000), 'ﬃİß', 'null'],
];

/** Arguments whose text is not returned: secrets and search terms. */
const SILENT = new Set([
  'password',
  'newPassword',
  'currentPassword',
  'token',
  'idToken',
  'deviceToken',
  'query',
  'search',
  'email',
  'username',
  'usernameOrEmail',
]);

/** Fields that only services may leave out, because services have external ids in their place. */
const REQUIRED_OF_USERS = new Set(['chatroomId', 'userId', 'userIds']);
/** Mutations that do not return the text: an emoji is removed, a username is normalized, a file is only announced. */
const CHANGES_TEXT = new Set(['removeReaction', 'createBot', 'createUpload']);
/** An unknown mail token is refused, whatever the other text is. */
const MADE_UP = 'input.token';
/** Unknown ids count as friends who are never online, so this stream stays open. */
const STAYS_OPEN = 'presenceChanged';

interface TextArgument {
  root: 'query' | 'mutation' | 'subscription';
  /** Fields from the root to the field with the argument. */
  fields: GraphQLField<unknown, unknown>[];
  /** Path of the argument, as in `extensions.path`. */
  path: string[];
}

const schema = buildSchema();

test('every text argument is stored exactly or refused by its path', { timeout: 600_000 }, async () => {
  const vapid = webPush.generateVAPIDKeys();
  const server = await startMeteredServer({
    MAX_BODY_KB: '100',
    VAPID_PUBLIC_KEY: vapid.publicKey,
    VAPID_PRIVATE_KEY: vapid.privateKey,
  });
  const { ann, ben, room } = await world(server);
  const { id: message } = await send(ann, room, 'Hello');
  const samples: Record<string, unknown> = {
    ...{
      chatroomId: room,
      messageId: message,
      userId: ben.id,
      memberIds: [ben.id],
      userIds: [ben.id],
      id: room,
      ids: [room],
    },
    ...{
      body: 'Hello',
      emoji: '👍',
      query: 'Hello',
      username: 'ben',
      email: 'ann@example.org',
      password: 'correct horse',
    },
    ...{ name: 'a-room', nickname: 'Ann', platform: 'WEB_PUSH', scopes: ['messages:read'] },
    ...{ mediaType: 'text/plain', sha256: '0'.repeat(64) },
  };
  const found = textArguments(schema);
  expect(found.length).toBeGreaterThan(60);

  for (const argument of found) {
    const name = `${argument.fields.map((field) => field.name).join('.')}(${argument.path.join('.')})`;
    const last = argument.fields.at(-1);
    await server.expectNoStall(name, async () => {
      for (const text of TEXTS) {
        const { document, variables } = operation(argument, text, samples);
        const response = await fetch(`${server.url}/graphql`, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            authorization: `Bearer ${ann.accessToken}`,
            accept: argument.root === 'subscription' ? 'text/event-stream' : 'application/json',
          },
          body: JSON.stringify({ query: document, variables }),
        });
        if (last?.name === STAYS_OPEN && response.status === 200) {
          await response.body?.cancel();
          continue;
        }
        const said = await response.text();
        const shown = `${name} with ${JSON.stringify(text.slice(0, 40))}: ${said.slice(0, 300)}`;
        if (response.status === 413) continue;
        expect(said, shown).not.toContain('INTERNAL_SERVER_ERROR');
        expect(said, shown).not.toContain('GRAPHQL_VALIDATION_FAILED');
        const json = (argument.root === 'subscription' ? /data: (\{.*\})/.exec(said)?.[1] : said) ?? '{}';
        const { data, errors } = JSON.parse(json) as {
          data?: Record<string, unknown>;
          errors?: { extensions: { code: string; path?: string[] } }[];
        };
        for (const { extensions } of errors ?? []) {
          if (extensions.code !== 'BAD_USER_INPUT') continue;
          expect([argument.path.join('.'), MADE_UP], shown).toContain(extensions.path?.join('.'));
        }
        if (
          argument.root !== 'mutation' ||
          errors ||
          CHANGES_TEXT.has(last?.name ?? '') ||
          SILENT.has(argument.path.at(-1) ?? '')
        )
          continue;
        // Names are trimmed and emoji are qualified. The rest of the text must be complete.
        expect(JSON.stringify(data), shown).toContain(JSON.stringify(text.trim().replace(/\ufe0f$/, '')).slice(1, -1));
      }
    });
  }
  // Checks failures that were not reported to a client.
  expect(server.output()).not.toContain('Unforeseen failure');
});

/** Returns the text arguments of all fields, each with the shortest path to its field. */
function textArguments(of: GraphQLSchema): TextArgument[] {
  const found: TextArgument[] = [];
  const seen = new Set<GraphQLNamedType>();
  const roots = [
    ['query', of.getQueryType()],
    ['mutation', of.getMutationType()],
    ['subscription', of.getSubscriptionType()],
  ] as const;
  const waiting: { root: TextArgument['root']; type: GraphQLNamedType; fields: TextArgument['fields'] }[] = [];
  for (const [root, type] of roots) if (type) waiting.push({ root, type, fields: [] });
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { root, type, fields } = next;
    if (!isObjectType(type) || seen.has(type)) continue;
    seen.add(type);
    for (const field of Object.values(type.getFields())) {
      const way = [...fields, field];
      for (const arg of field.args) {
        for (const path of textPaths(arg.type, [arg.name])) found.push({ root, fields: way, path });
      }
      // Types that mutations or subscriptions return are reachable by queries as well.
      if (root === 'query') waiting.push({ root, type: getNamedType(field.type), fields: way });
    }
  }
  return found;
}

function textPaths(type: GraphQLInputType, path: string[]): string[][] {
  const named = getNamedType(type);
  if (isInputObjectType(named)) {
    return Object.values(named.getFields()).flatMap((field) => textPaths(field.type, [...path, field.name]));
  }
  return ['String', 'ID'].includes(named.name) ? [path] : [];
}

/** Returns an operation with a text as the argument, and samples for the other arguments. */
function operation({ root, fields, path }: TextArgument, text: string, samples: Record<string, unknown>) {
  const variables: Record<string, unknown> = {};
  const declared: string[] = [];
  const last = fields.at(-1);
  const selected = fields.map((field) => {
    const args = field.args.flatMap((arg) => {
      const isTarget = field === last && arg.name === path[0];
      if (!isTarget && !isRequiredArgument(arg)) return [];
      const variable = `${arg.name}${declared.length}`;
      declared.push(`$${variable}: ${String(arg.type)}`);
      variables[variable] = valueOf(arg.type, arg.name, isTarget ? path.slice(1) : null, text, samples);
      return [`${arg.name}: $${variable}`];
    });
    return `${field.name}${args.length > 0 ? `(${args.join(', ')})` : ''}`;
  });
  const leaf = last ? selection(getNamedType(last.type), 4) : '';
  const body = selected.reduceRight(
    (inner, field) => `${field} ${inner.startsWith('{') || inner === '' ? inner : `{ ${inner} }`}`,
    leaf,
  );
  return { document: `${root}${declared.length > 0 ? `(${declared.join(', ')})` : ''} { ${body} }`, variables };
}

/** @param target the remaining path to the text, or null if the text is elsewhere */
function valueOf(
  type: GraphQLInputType,
  name: string,
  target: string[] | null,
  text: string,
  samples: Record<string, unknown>,
): unknown {
  const named = getNamedType(type);
  if (isInputObjectType(named)) {
    return Object.fromEntries(
      Object.values(named.getFields())
        .filter(
          (field) =>
            field.name === target?.[0] ||
            isRequiredInputField(field) ||
            (!named.isOneOf && REQUIRED_OF_USERS.has(field.name)),
        )
        .map((field) => {
          const rest = field.name === target?.[0] ? target.slice(1) : null;
          return [field.name, valueOf(field.type, field.name, rest, text, samples)];
        }),
    );
  }
  const isList = isListType(getNullableType(type));
  if (target) return isList ? [text] : text;
  if (name in samples) return samples[name];
  if (isEnumType(named))
    return named.getValues().find(({ name: value }) => value === 'GROUP')?.name ?? named.getValues()[0]?.name;
  if (isList) return [];
  return named.name === 'Int' ? 1 : named.name === 'Boolean' ? true : 'sample text';
}

/** Selects all fields of a type without arguments, a few levels deep. */
function selection(type: GraphQLNamedType, depth: number): string {
  if (isLeafType(type)) return '';
  if (!isObjectType(type)) return '{ __typename }';
  const fields = Object.values(type.getFields()).flatMap((field) => {
    if (field.args.some(isRequiredArgument)) return [];
    const inner = getNamedType(field.type);
    if (isLeafType(inner)) return isListType(getNullableType(field.type)) ? [] : [field.name];
    const named =
      isObjectType(inner) &&
      /^(?:User|Viewer|Message|Chatroom|Reaction\w*|PushDevice|Session|IncomingWebhook)$/.test(inner.name);
    return named && depth > 1 ? [`${field.name} ${selection(inner, depth - 2)}`] : [];
  });
  return `{ ${['__typename', ...fields].join(' ')} }`;
}
