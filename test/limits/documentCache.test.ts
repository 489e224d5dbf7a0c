import { parse } from 'graphql';
import { expect, test } from 'vitest';
import { createDocumentCache } from '../../src/graphql/plugins/documentCache.ts';

const MB = 1024 * 1024;

test('the document cache has bounded memory, whatever the document size', () => {
  const { documentCache } = createDocumentCache().options;
  for (const text of [`{ a(x: "${'x'.repeat(250_000)}") }`, `{ ${'a '.repeat(1_000)} }`]) {
    for (let i = 0; i < 100; i += 1) {
      const document = `${text} # ${i}`;
      documentCache.set(document, parse(document));
    }
    expect(documentCache.calculatedSize).toBeLessThanOrEqual(32 * MB);
  }
});

test('a thousand typical documents stay cached', () => {
  const { documentCache } = createDocumentCache().options;
  const usual = (i: number) =>
    `query Q${i}($id: ID!) { chatroom(id: $id) { id name messages(last: 20) { nodes { id body sender { id } } } } }`;
  for (let i = 0; i < 1_000; i += 1) documentCache.set(usual(i), parse(usual(i)));
  expect(documentCache.size).toBe(1_000);
});
