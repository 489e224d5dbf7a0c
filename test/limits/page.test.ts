import { readdir, readFile } from 'node:fs/promises';
import { Kind, parse } from 'graphql';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { memoizeComplexity } from '../../src/limits/complexity.ts';
import { measureDocument } from '../../src/limits/documents.ts';
import { buildSchema } from '../../src/schema.ts';

const folder = new URL('../../examples/web/src/documents/', import.meta.url);
const texts = await Promise.all((await readdir(folder)).map((name) => readFile(new URL(name, folder), 'utf8')));
const document = parse(texts.join('\n'));
const names = document.definitions.flatMap((definition) =>
  definition.kind === Kind.OPERATION_DEFINITION && definition.name ? [definition.name.value] : [],
);
/** The largest values that the variables of the page may have. */
const variableValues = {
  id: 'x',
  query: 'x',
  username: 'x',
  userId: 'x',
  messageId: 'x',
  last: 100,
  first: 100,
  ids: ['x'],
};
const { MAX_COMPLEXITY, MAX_TOKENS, RATE_PER_USER } = parseConfig({});
const complexityOf = memoizeComplexity();
const schema = buildSchema();
const complexity = (operationName: string) => complexityOf({ schema, document, operationName, variableValues });

test('the operations of the page are within MAX_COMPLEXITY, with 100 messages of a room at once', () => {
  expect(names).toContain('History');
  for (const name of names) expect(complexity(name), name).toBeLessThanOrEqual(MAX_COMPLEXITY);
  expect(complexity('History')).toBeGreaterThan(1_000);
});

test('the page reads 2,000 messages in a minute with a third of its points', () => {
  const page = 1 + Math.floor(complexity('History') / 500);
  // A node that knows none of its documents charges for all of them, once.
  const documents = texts.reduce((sum, text) => sum + measureDocument(text, MAX_TOKENS).tokens / 50, 0);
  const start = names.reduce((sum, name) => sum + 1 + Math.floor(complexity(name) / 500), 0);
  expect(20 * page + documents + start).toBeLessThan(RATE_PER_USER / 3);
});
