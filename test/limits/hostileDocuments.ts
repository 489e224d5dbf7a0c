/**
 * Documents and variables whose cost is far out of proportion to their length. Each document uses most of the allowed
 * tokens.
 */

export interface Hostile {
  name: string;
  query: string;
  operationName?: string;
  variables?: Record<string, unknown>;
}

const repeat = (count: number, text: (i: number) => string) =>
  Array.from({ length: Math.floor(count) }, (_, i) => text(i)).join(' ');

/**
 * Returns `fragment F0 on Type { …F1 …F1 } …`: each fragment spreads the next one `width` times. The last one selects
 * `last`.
 */
function chain(type: string, levels: number, last: string, options: { width?: number; also?: string } = {}): string {
  const { width = 2, also = '' } = options;
  return repeat(levels, (i) =>
    i === Math.floor(levels) - 1
      ? `fragment F${i} on ${type} { ${last} }`
      : `fragment F${i} on ${type} { ${also} ${repeat(width, () => `...F${i + 1}`)} }`,
  );
}

const messageAdded = (selection: string) => `subscription { messageAdded { ${selection} } }`;

/** Fragments that double the work per level for an algorithm without memoization. */
export function doublingDocuments(tokens: number): Hostile[] {
  const levels = tokens / 11;
  const doubling = (name: string, query: string): Hostile => ({ name: `doubling fragments ${name}`, query });
  return [
    doubling('at the root', `{ ...F0 } ${chain('Query', levels, '__typename')}`),
    doubling('at the root of a mutation', `mutation { ...F0 } ${chain('Mutation', levels, '__typename')}`),
    doubling(
      'at the root of a subscription',
      `subscription { ...F0 } ${chain('Subscription', levels, 'messageAdded { cursor }')}`,
    ),
    doubling('below a field', `{ viewer { ...F0 } } ${chain('Viewer', levels, 'id')}`),
    doubling('below a field of a subscription', `${messageAdded('...F0')} ${chain('MessageAdded', levels, 'cursor')}`),
    doubling(
      'below a field of a mutation',
      `mutation { signOut { ...F0 } } ${chain('OkPayload', levels, '__typename')}`,
    ),
    doubling(
      'with a field at each level',
      `{ ...F0 } ${chain('Query', tokens / 12, '__typename', { also: '__typename' })}`,
    ),
    doubling('by forties', `{ ...F0 } ${chain('Query', tokens / 85, '__typename', { width: 40 })}`),
    doubling(
      'under @skip and @include',
      `query ($x: Boolean = true) { ...F0 @include(if: $x) ...F0 @skip(if: $x) } ${chain('Query', levels - 2, '__typename')}`,
    ),
    doubling(
      'in inline fragments',
      `{ ...F0 } ${repeat(tokens / 17, (i) => `fragment F${i} on Query { ... { ...F${i + 1} } ... on Query { ...F${i + 1} } }`)} fragment F${Math.floor(tokens / 17)} on Query { __typename }`,
    ),
    doubling(
      'in diamonds',
      `{ ...F0 } ${repeat(tokens / 32, (i) => `fragment F${i} on Query { ...L${i} ...R${i} } fragment L${i} on Query { ...F${i + 1} } fragment R${i} on Query { ...F${i + 1} }`)} fragment F${Math.floor(tokens / 32)} on Query { __typename }`,
    ),
    {
      name: 'doubling fragments in the second of two operations',
      query: `query A { __typename } query B { ...F0 } ${chain('Query', levels - 1, '__typename')}`,
      operationName: 'B',
    },
  ];
}

/** Documents that are expensive to parse, to validate or to refuse. */
export function costlyDocuments(tokens: number): Hostile[] {
  const fragments = Math.floor(tokens / 11);
  const queries: Record<string, string> = {
    'one field two thousand times': `{ ${repeat(tokens, () => '__typename')} }`,
    'one object many times': `{ ${repeat(tokens / 4, () => 'viewer { id }')} }`,
    'one deep object many times': `{ ${repeat(tokens / 17, () => 'viewer { chatrooms { nodes { lastMessage { chatroom { id } } } } }')} }`,
    'one object with arguments many times': `{ ${repeat(tokens / 9, () => 'node(id: "x") { id }')} }`,
    'objects that conflict': `{ ${repeat(tokens / 9, (i) => `node(id: "${i}") { id }`)} }`,
    'unknown fields': `{ ${repeat(tokens, (i) => `x${i}`)} }`,
    'fields that are nearly known': `{ viewer { ${repeat(tokens - 10, (i) => `searchMessagesOf${i}`)} } }`,
    'long unknown fields': `{ ${repeat(10, (i) => `x${i}`.repeat(5_000))} }`,
    'many fragments in one selection': `{ ${repeat(tokens / 11, (i) => `...F${i}`)} } ${repeat(fragments, (i) => `fragment F${i} on Query { __typename __typename }`)}`,
    'fragments in a circle': `{ ...F0 } ${repeat(fragments, (i) => `fragment F${i} on Query { ...F${(i + 1) % fragments} ...F${(i + 2) % fragments} }`)}`,
    'fragments that all spread one another': `{ ...F0 } ${repeat(30, (i) => `fragment F${i} on Query { ${repeat(30, (j) => `...F${j}`)} }`)}`,
    'fragments that each spread all that follow': `{ ...F0 } ${repeat(40, (i) => `fragment F${i} on Query { __typename ${repeat(39 - i, (j) => `...F${i + j + 1}`)} }`)}`,
    'unused variables': `query (${repeat(tokens / 4, (i) => `$v${i}: Int`)}) { __typename }`,
    'undefined variables': `{ nodes(ids: [${repeat(tokens / 3, (i) => `$v${i}`)}]) { id } }`,
    'many operations': repeat(tokens / 5, (i) => `query A${i} { __typename }`),
    'many operations of one fragment': `${repeat(tokens / 10, (i) => `query A${i} { ...F }`)} fragment F on Query { ${repeat(200, () => '__typename')} }`,
    'deep inline fragments': `{ ${'... { '.repeat(tokens / 4)}__typename${' }'.repeat(tokens / 4)} }`,
    'inline fragments of other types': `{ node(id: "x") { ${repeat(tokens / 7, (i) => `... on ${i % 2 ? 'User' : 'Message'} { id }`)} } }`,
    'a long list': `{ nodes(ids: [${repeat(tokens - 12, () => '"x"')}]) { id } }`,
    'a deep list': `{ nodes(ids: ${'['.repeat(tokens / 2 - 8)}${']'.repeat(tokens / 2 - 8)}) { id } }`,
    'a deep object': `mutation { sendMessage(input: ${'{a: '.repeat(tokens / 4 - 4)}1${'}'.repeat(tokens / 4 - 4)}) { deduplicated } }`,
    'an object of unknown fields': `mutation { sendMessage(input: {${repeat(tokens / 3 - 6, (i) => `a${i}: 1`)}}) { deduplicated } }`,
    'unknown arguments': `{ node(${repeat(tokens / 3 - 6, (i) => `ids${i}: 1`)}) { id } }`,
    'definitions of types': repeat(tokens / 7, (i) => `type A${i} { a: Int }`),
    'too many tokens': `{ ${'a '.repeat(60_000)} }`,
    'brackets that never close': '{a'.repeat(60_000),
    'a long text': `{ user(username: "${'x'.repeat(120_000)}") { id } }`,
    'a long block text': `{ user(username: """${'\n x'.repeat(40_000)}""") { id } }`,
    'a text of escapes': `{ user(username: "${'\\u{1F600}'.repeat(12_000)}") { id } }`,
    'a long number': `{ viewer { chatrooms(first: ${'9'.repeat(100_000)}) { nodes { id } } } }`,
    'a long comment': `#${'x'.repeat(120_000)}\n{ __typename }`,
    'many comments': `${'#\n'.repeat(60_000)}{ __typename }`,
    'a long operation name in a hundred errors': `query ${'x'.repeat(200_000)} { nodes(ids: [${repeat(120, (i) => `$v${i}`)}]) { id } }`,
    'a long alias': `{ ${'x'.repeat(200_000)}: __typename }`,
    'a hundred errors below many lines': `{ ${'\n'.repeat(100_000)} ${repeat(100, (i) => `x${i}`)} }`,
    'a hundred errors below many carriage returns': `{ ${'\r'.repeat(1_990)} ${repeat(100, (i) => `x${i}`)} }`,
    'the schema by fourteen aliases': `{ ${repeat(14, (i) => `a${i}: __schema { types { name fields { name args { name type { name } } type { name } } } }`)} }`,
    'the types by fourteen aliases': `{ __schema { ${repeat(14, (i) => `a${i}: types { name fields { name args { name type { name } } type { name } } }`)} } }`,
    'only commas': `${','.repeat(120_000)}{ __typename }`,
  };
  return Object.entries(queries).map(([name, query]) => ({ name, query }));
}

/** Variables with thousands of errors, each of which quotes the client's input. They fit into a body of 256 KB. */
export function costlyVariables(): Hostile[] {
  const nodes = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }';
  const send = 'mutation ($input: SendMessageInput!) { sendMessage(input: $input) { deduplicated } }';
  const list = (value: unknown, count: number) => ({ ids: Array.from({ length: count }, () => value) });
  const fields = (count: number, name: (i: number) => string) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [name(i), 1]));
  return [
    { name: 'a list of wrong ids', query: nodes, variables: list({}, 80_000) },
    { name: 'a list of nulls', query: nodes, variables: list(null, 50_000) },
    { name: 'a list of long wrong ids', query: nodes, variables: list({ a: 'x'.repeat(1_000) }, 240) },
    { name: 'unknown fields of an input', query: send, variables: { input: fields(16_000, (i) => `b${i}`) } },
    { name: 'nearly known fields of an input', query: send, variables: { input: fields(12_000, (i) => `body${i}`) } },
    {
      name: 'long unknown fields of an input',
      query: send,
      variables: { input: fields(120, (i) => `${i}`.repeat(500)) },
    },
    { name: 'variables that nobody asks for', query: nodes, variables: fields(16_000, (i) => `v${i}`) },
  ];
}
