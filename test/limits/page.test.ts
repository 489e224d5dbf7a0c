import { readdir, readFile } from 'node:fs/promises';
import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLInputType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  Kind,
  parse,
  print,
  typeFromAST,
  validate,
} from 'graphql';
import { describe, expect, test } from 'vitest';
import { documentsOf } from '../../client/react/documents.ts';
import { parseConfig } from '../../src/core/config/config.ts';
import { memoizeComplexity } from '../../src/graphql/plugins/complexity.ts';
import { limitRules, measureDocument } from '../../src/graphql/plugins/documentRules.ts';
import { findLargestList } from '../../src/graphql/plugins/largestList.ts';
import { buildSchema } from '../../src/features/schema.ts';

const folder = new URL('../../examples/web/src/documents/', import.meta.url);
const texts = await Promise.all((await readdir(folder)).map((name) => readFile(new URL(name, folder), 'utf8')));
const pageDocument = parse(texts.join('\n'));
const fragmentsOf = ({ definitions }: DocumentNode) =>
  definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION);

/** Returns a fragment of the page, followed by the fragments that it spreads. */
function selectionOf(name: string, page = pageDocument): DocumentNode {
  const fragments = fragmentsOf(page);
  const [first] = fragments.filter((fragment) => fragment.name.value === name);
  if (!first) throw new Error(`The page has no fragment ${name}.`);
  return { kind: Kind.DOCUMENT, definitions: [first, ...fragments.filter((fragment) => fragment !== first)] };
}

const selections = {
  message: selectionOf('MessageFields'),
  room: selectionOf('RoomFields'),
  user: selectionOf('PersonFields'),
};
const hooks = documentsOf(selections);
const { friends, friendNodes, presence } = documentsOf({ user: selectionOf('FriendFields') });

/** Documents of the page, and of the hooks with the page's selections (examples/web/src/chat.ts). */
const documents: DocumentNode[] = [
  pageDocument,
  ...Object.values({ ...hooks, friends, friendNodes, presence }).filter(
    (value): value is never => typeof value === 'object',
  ),
];
const operations = documents.flatMap((document) =>
  document.definitions.flatMap((definition) =>
    definition.kind === Kind.OPERATION_DEFINITION && definition.name
      ? [{ document, name: definition.name.value, variables: definition.variableDefinitions ?? [] }]
      : [],
  ),
);
const config = parseConfig({});
const { MAX_COMPLEXITY, MAX_TOKENS, RATE_PER_USER } = config;
const complexityOf = memoizeComplexity();
const schema = buildSchema();

/** Returns a value for an input type. Page sizes are the maximum. */
function valueOf(type: GraphQLInputType): unknown {
  if (isNonNullType(type)) return valueOf(type.ofType);
  if (isListType(type)) return [valueOf(type.ofType)];
  if (isEnumType(type)) return type.getValues()[0]?.name;
  if (isInputObjectType(type)) {
    const required = Object.values(type.getFields()).filter((field) => isNonNullType(field.type));
    return Object.fromEntries(required.map((field) => [field.name, valueOf(field.type)]));
  }
  return { Int: 100, Boolean: true }[type.name] ?? 'x';
}

function complexity(operationName: string): number {
  const operation = operations.find(({ name }) => name === operationName);
  if (!operation) throw new Error(`The page has no operation ${operationName}.`);
  const variableValues: Record<string, unknown> = {};
  for (const { variable, type } of operation.variables) {
    const name = variable.name.value;
    const value = valueOf(typeFromAST(schema, type as never) as GraphQLInputType);
    // The page requests at most as many ids as items of a page.
    variableValues[name] = name === 'ids' ? Array.from({ length: 100 }, () => 'x') : value;
  }
  return complexityOf({ schema, document: operation.document, operationName, variableValues });
}

describe('the chat page', () => {
  test('loads 100 items per list with a tenth of MAX_COMPLEXITY left', () => {
    for (const { name } of operations) expect(complexity(name), name).toBeLessThanOrEqual(0.9 * MAX_COMPLEXITY);
    expect(complexity('ParleyRoomEvents')).toBeGreaterThan(1_000);
  });

  test('stays below the limits on tokens, depth, aliases and directives', () => {
    for (const document of documents) {
      expect(measureDocument(print(document), 100_000).tokens).toBeLessThanOrEqual(MAX_TOKENS);
      expect(validate(schema, document, limitRules(config, false))).toEqual([]);
    }
  });

  test('reads 2,000 messages a minute with three fifths of its points', () => {
    const page = 1 + Math.floor(complexity('ParleyPage') / 500);
    // The hooks read objects by their ids from the cache.
    const sent = operations.filter(({ variables }) => !variables.some(({ variable }) => variable.name.value === 'ids'));
    // A node that knows none of the documents charges for all of them once.
    const sentDocuments = [...new Set(sent.map(({ document }) => document))];
    const parsing = sentDocuments.reduce((sum, each) => sum + measureDocument(print(each), MAX_TOKENS).tokens / 50, 0);
    const start = sent.reduce((sum, { name }) => sum + 1 + Math.floor(complexity(name) / 500), 0);
    expect(20 * page + parsing + start).toBeLessThan(0.6 * RATE_PER_USER);
  });
});

test('100 messages with the images of their link previews are within MAX_COMPLEXITY', () => {
  const withImages = print(pageDocument).replaceAll(
    'linkPreviews {',
    'linkPreviews { image { url width height thumbHash }',
  );
  const { page } = documentsOf({ ...selections, message: selectionOf('MessageFields', parse(withImages)) });
  const variableValues = { chatroomId: 'x', last: 100 };
  expect(print(page)).toContain('thumbHash');
  expect(complexityOf({ schema, document: page, variableValues })).toBeLessThanOrEqual(MAX_COMPLEXITY);
});

describe('30 rooms with 20 messages each', () => {
  const askFor = (fields: string): ExecutionArgs => ({
    schema,
    document: parse(`
      query ($first: Int) { viewer { chatrooms(first: $first) { nodes { id title ...Messages } } } }
      fragment Messages on Chatroom { messages(last: 20) { nodes { ${fields} } } }`),
    variableValues: { first: 30 },
  });

  test('stay within the limit with the fields of a preview', () => {
    expect(complexityOf(askFor('id number body createdAt sender { id nickname }'))).toBeLessThanOrEqual(MAX_COMPLEXITY);
  });

  test('are named in the refusal of a selection that is too large', () => {
    const args = askFor(
      'id body sender { id username nickname bio } replyTo { id body sender { id nickname } } seenBy { nodes { id } }',
    );
    expect(complexityOf(args)).toBeGreaterThan(MAX_COMPLEXITY);
    expect(findLargestList(args)).toEqual({ path: 'viewer.chatrooms.messages.seenBy', items: 12_000 });
    expect(findLargestList(askFor('id'))).toEqual({ path: 'viewer.chatrooms.messages', items: 600 });
  });
});

test('the largest list of nested fragments is found in linear time', () => {
  const fragments = Array.from(
    { length: 200 },
    (_, i) =>
      `fragment F${i} on Viewer { ...F${i + 1} ...F${i + 1} chatrooms(first: ${1 + (i % 9)}) { nodes { id } } }`,
  );
  const text = `{ viewer { ...F0 } } ${fragments.join(' ')} fragment F200 on Viewer { id }`;
  expect(findLargestList({ schema, document: parse(text) })).toEqual({ path: 'viewer.chatrooms', items: 9 });
});
