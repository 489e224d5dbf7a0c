import { parse, type ExecutionArgs } from 'graphql';
import { describe, expect, test } from 'vitest';
import { SharedExecution } from '../../src/graphql/sharedExecution.ts';
import { rootFieldOf } from '../../src/graphql/plugins/requestLog.ts';
import { doublingDocuments } from './hostileDocuments.ts';

/** Number of tokens that makes exponential work impossible. */
const TOKENS = 5_000;
const documents = doublingDocuments(TOKENS).map((each) => ({ ...each, document: parse(each.query) }));

describe.each(documents)('$name', ({ document, operationName }) => {
  test('the root field is found', () => {
    expect(rootFieldOf(document, operationName)).toMatch(/^(__typename|viewer|messageAdded|signOut)$/);
  });

  test('the variables below the root are found', () => {
    const args = { document, operationName, variableValues: {} } as unknown as ExecutionArgs;
    expect(new SharedExecution({ isEnabled: true }).register(args)).toMatchObject({ subscribers: 1 });
  });
});

test('the root field is computed once per document and operation', () => {
  const document = parse('query A { viewer { id } } query B { a: node(id: "x") { id } b: __typename }');
  expect(rootFieldOf(document, 'A')).toBe('viewer');
  expect(rootFieldOf(document, 'B')).toBe('several');
  const [operation] = document.definitions;
  Object.defineProperty(operation, 'selectionSet', {
    get() {
      throw new Error('It was computed again.');
    },
  });
  expect(rootFieldOf(document, 'A')).toBe('viewer');
});
