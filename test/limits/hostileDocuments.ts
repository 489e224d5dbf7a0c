/** Documents made to cost far more work than their length. Each takes most of the tokens that a document may have. */

interface Hostile {
  name: string;
  query: string;
  operationName?: string;
}

const repeat = (count: number, text: (i: number) => string) =>
  Array.from({ length: Math.floor(count) }, (_, i) => text(i)).join(' ');

/** `fragment F0 on Type { …F1 …F1 } …`: each fragment spreads the next one `width` times; `last` is what the last one selects. */
function chain(type: string, levels: number, last: string, options: { width?: number; also?: string } = {}): string {
  const { width = 2, also = '' } = options;
  return repeat(levels, (i) =>
    i === Math.floor(levels) - 1
      ? `fragment F${i} on ${type} { ${last} }`
      : `fragment F${i} on ${type} { ${also} ${repeat(width, () => `...F${i + 1}`)} }`,
  );
}

const messageAdded = (selection: string) => `subscription { messageAdded { ${selection} } }`;

/** Fragments that double the work with each level for a walk that does not remember them. */
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
    doubling(
      'below a field of a subscription',
      `${messageAdded('...F0')} ${chain('MessageAddedEvent', levels, 'cursor')}`,
    ),
    doubling(
      'below a field of a mutation',
      `mutation { signOut { ...F0 } } ${chain('SignOutPayload', levels, '__typename')}`,
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
