import { readdir, readFile } from 'node:fs/promises';
import {
  type ExecutionArgs,
  type GraphQLInputType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  Kind,
  parse,
  typeFromAST,
  validate,
} from 'graphql';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { memoizeComplexity } from '../../src/limits/complexity.ts';
import { limitRules, measureDocument } from '../../src/limits/documents.ts';
import { findLargestList } from '../../src/limits/largestList.ts';
import { buildSchema } from '../../src/schema.ts';

const folder = new URL('../../examples/web/src/documents/', import.meta.url);
const texts = await Promise.all((await readdir(folder)).map((name) => readFile(new URL(name, folder), 'utf8')));
const document = parse(texts.join('\n'));
const operations = document.definitions.flatMap((definition) =>
  definition.kind === Kind.OPERATION_DEFINITION && definition.name
    ? [{ ...definition, name: definition.name.value }]
    : [],
);
const config = parseConfig({});
const { MAX_COMPLEXITY, MAX_TOKENS, RATE_PER_USER } = config;
const complexityOf = memoizeComplexity();
const schema = buildSchema();

/** A value that fits an input type. Page sizes are the largest. */
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
  const variableValues: Record<string, unknown> = {};
  for (const { variable, type } of operation?.variableDefinitions ?? []) {
    const name = variable.name.value;
    // A page is asked for from one end.
    if (name !== 'first' || !('last' in variableValues))
      variableValues[name] = valueOf(typeFromAST(schema, type as never) as GraphQLInputType);
  }
  return complexityOf({ schema, document, operationName, variableValues });
}

describe('the page', () => {
  test('loads 100 items of every list at once, with a tenth of MAX_COMPLEXITY to spare', () => {
    expect(operations.map(({ name }) => name)).toContain('History');
    for (const { name } of operations) expect(complexity(name), name).toBeLessThanOrEqual(0.9 * MAX_COMPLEXITY);
    expect(complexity('History')).toBeGreaterThan(1_000);
  });

  test('sends documents below the limits on tokens, depth, aliases and directives', () => {
    for (const text of texts) expect(measureDocument(text, 100_000).tokens).toBeLessThanOrEqual(MAX_TOKENS);
    expect(validate(schema, document, limitRules(config, false))).toEqual([]);
  });

  test('reads 2,000 messages in a minute with a third of its points', () => {
    const page = 1 + Math.floor(complexity('History') / 500);
    // A node that knows none of its documents charges for all of them, once.
    const documents = texts.reduce((sum, text) => sum + measureDocument(text, MAX_TOKENS).tokens / 50, 0);
    const start = operations.reduce((sum, { name }) => sum + 1 + Math.floor(complexity(name) / 500), 0);
    expect(20 * page + documents + start).toBeLessThan(RATE_PER_USER / 3);
  });
});

describe('30 rooms with 20 messages each', () => {
  const askFor = (fields: string): ExecutionArgs => ({
    schema,
    document: parse(`
      query ($first: Int) { viewer { chatrooms(first: $first) { nodes { id title ...Messages } } } }
      fragment Messages on Chatroom { messages(last: 20) { nodes { ${fields} } } }`),
    variableValues: { first: 30 },
  });

  test('fit with the fields of a preview', () => {
    expect(complexityOf(askFor('id number body createdAt sender { id nickname }'))).toBeLessThanOrEqual(MAX_COMPLEXITY);
  });

  test('are named by the refusal of a selection that is too large', () => {
    const args = askFor(
      'id body sender { id username nickname bio } replyTo { id body sender { id nickname } } seenBy { nodes { id } }',
    );
    expect(complexityOf(args)).toBeGreaterThan(MAX_COMPLEXITY);
    expect(findLargestList(args)).toEqual({ path: 'viewer.chatrooms.messages.seenBy', items: 12_000 });
    expect(findLargestList(askFor('id'))).toEqual({ path: 'viewer.chatrooms.messages', items: 600 });
  });
});

test('the largest list of fragments that spread one another is found in linear time', () => {
  const fragments = Array.from(
    { length: 200 },
    (_, i) =>
      `fragment F${i} on Viewer { ...F${i + 1} ...F${i + 1} chatrooms(first: ${1 + (i % 9)}) { nodes { id } } }`,
  );
  const text = `{ viewer { ...F0 } } ${fragments.join(' ')} fragment F200 on Viewer { id }`;
  expect(findLargestList({ schema, document: parse(text) })).toEqual({ path: 'viewer.chatrooms', items: 9 });
});
