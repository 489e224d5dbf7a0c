import fc, { type GeneratorValue } from 'fast-check';
import {
  getNamedType,
  getNullableType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLSchema,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql';

/** An operation with its variables. */
export interface Operation {
  query: string;
  variables: Record<string, unknown>;
}

/** Texts that have broken other servers. The `long` texts are still within the input limits. */
const HOSTILE = [
  ...[
    '',
    ' ',
    '\0',
    'a\0b',
    '\ud800',
    'x\udfff',
    '\uffff',
    '\u202e',
    '😀'.repeat(50),
    'e\u0301'.repeat(100),
    '%00',
    '\\',
  ],
  ...[
    "'; DROP TABLE users; --",
    '${jndi:ldap://x}',
    '{{7*7}}',
    '../../etc/passwd',
    '<script>',
    '__proto__',
    'constructor',
  ],
  ...['null', 'NaN', '-1', '1e309', '٣', 'ﬀ', 'İ', 'x'.repeat(20_000), '中'.repeat(10_001), 'nobody@example.org'],
];
const INTS = [0, 1, -1, 2, 20, 100, 101, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 53, 1e300, 0.5, '1', true];
const base64 = (text: string) => Buffer.from(text).toString('base64url');

/** Generates operations that fit the schema, with values that may not. Half of the documents are damaged afterwards. */
export function operations(
  schema: GraphQLSchema,
  { leaveOut, known }: { leaveOut: readonly string[]; known: () => readonly string[] },
): fc.Arbitrary<Operation> {
  return fc.gen().map((g) => {
    const { query, variables } = write(schema, g, leaveOut, known());
    return g(fc.boolean) ? { query, variables } : { query: damage(g, query), variables };
  });
}

function write(
  schema: GraphQLSchema,
  g: GeneratorValue,
  leaveOut: readonly string[],
  known: readonly string[],
): Operation {
  const declared: string[] = [];
  const variables: Record<string, unknown> = {};
  const pick = <Item>(items: readonly Item[]): Item => items[g(fc.nat, { max: items.length - 1 })] as Item;
  const chance = (ofTen: number) => g(fc.nat, { max: 9 }) < ofTen;

  function text(): unknown {
    const types = ['User', 'Viewer', 'Chatroom', 'Message', 'Session', 'PushDevice', 'Junk'];
    if (chance(4)) return pick(known);
    if (chance(3))
      return base64(`${pick(types)}:${pick([crypto.randomUUID(), '1', '\0', `${crypto.randomUUID()}:99999999999`])}`);
    if (chance(2))
      return base64(pick(['["users","\0"]', '["members","x",1]', 'room x y 1 1 ', 'all 1:1: ', '[]', '\ud800']));
    return chance(1) ? pick([7, null, {}, []]) : pick(HOSTILE);
  }

  function value(type: GraphQLInputType, depth = 0): unknown {
    if (!isNonNullType(type) && chance(2)) return null;
    const bare = getNullableType(type);
    if (isListType(bare)) return Array.from({ length: pick([0, 1, 2, 2, 101]) }, () => value(bare.ofType, depth + 1));
    if (isEnumType(bare)) return chance(9) ? pick(bare.getValues()).name : 'NOTHING';
    if (isInputObjectType(bare)) {
      const fields = Object.values(bare.getFields()).filter((field) => isNonNullType(field.type) || chance(5));
      const made = Object.fromEntries(fields.map((field) => [field.name, value(field.type, depth + 1)]));
      return chance(1) ? { ...made, [pick(['extra', '__proto__', 'input'])]: 1 } : made;
    }
    if (bare.name === 'Int' || bare.name === 'Float') return pick(INTS);
    return bare.name === 'Boolean' ? chance(5) : text();
  }

  function ask(field: GraphQLField<unknown, unknown>, depth: number): string {
    const given = field.args.filter((arg) => isNonNullType(arg.type) || chance(4));
    const args = given.map((arg) => {
      const name = `v${declared.length}`;
      declared.push(`$${name}: ${String(arg.type)}`);
      variables[name] = value(arg.type);
      return `${arg.name}: $${name}`;
    });
    const called = `${chance(1) ? `${pick(['a', 'b', 'id'])}: ` : ''}${field.name}${args.length > 0 ? `(${args.join(', ')})` : ''}`;
    const type = getNamedType(field.type);
    return isLeafType(type) ? called : `${called} ${select(type as GraphQLObjectType, depth + 1)}`;
  }

  function select(type: GraphQLObjectType, depth: number): string {
    if (isAbstractType(type)) {
      const kinds = schema.getPossibleTypes(type);
      return `{ __typename ... on ${pick(kinds).name} ${select(pick(kinds), depth + 1)} }`;
    }
    const fields = Object.values(type.getFields()).filter((field) => depth < 6 || isLeafType(getNamedType(field.type)));
    const chosen = fields.length === 0 ? [] : Array.from({ length: pick([1, 2, 3]) }, () => pick(fields));
    return `{ __typename ${chosen.map((field) => ask(field, depth)).join(' ')} }`;
  }

  const kind = pick(['query', 'query', 'mutation', 'mutation', 'subscription'] as const);
  const root = {
    query: schema.getQueryType(),
    mutation: schema.getMutationType(),
    subscription: schema.getSubscriptionType(),
  }[kind];
  if (!isObjectType(root)) throw new Error(`There is no ${kind}.`);
  const fields = Object.values(root.getFields()).filter(({ name }) => !leaveOut.includes(name));
  const asked = Array.from({ length: kind === 'subscription' ? 1 : pick([1, 1, 2]) }, () => ask(pick(fields), 0)).join(
    ' ',
  );
  return { query: `${kind} Fuzz${declared.length > 0 ? `(${declared.join(', ')})` : ''} { ${asked} }`, variables };
}

/** Damages a document in one of several typical ways. */
function damage(g: GeneratorValue, query: string): string {
  const at = g(fc.nat, { max: query.length });
  const to = Math.min(at + g(fc.nat, { max: 30 }), query.length);
  const bit = query.slice(at, to);
  const ways = [
    () => query.slice(0, at),
    () => query.slice(0, at) + query.slice(to),
    () => query.slice(0, to) + bit + query.slice(to),
    () => query.slice(0, at) + (HOSTILE[g(fc.nat, { max: HOSTILE.length - 1 })] ?? '') + query.slice(at),
    () => query.slice(0, at) + '{[("""@...$&#'.charAt(g(fc.nat, { max: 12 })) + query.slice(at),
    () => query.replace(/\b([a-z]\w+)/, '$1x'),
    () => `${query} fragment F on Query { ...G } fragment G on Query { ...F }`,
    () => `${query} ${query}`,
    () => query.replace('{', `{ ${'viewer { '.repeat(g(fc.nat, { max: 200 }))}`),
  ];
  return ways[g(fc.nat, { max: ways.length - 1 })]?.() ?? query;
}
