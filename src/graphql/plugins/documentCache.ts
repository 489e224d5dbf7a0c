import type { DocumentNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { LRUCache } from 'lru-cache';

/** Maximum memory for parsed documents, in bytes. It fits about 1,900 documents of 50 tokens. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Assumed memory of one token with its AST nodes, in bytes. Measured on Node 20: 250 to 490. */
const BYTES_PER_TOKEN = 500;

/**
 * Creates a cache of parsed documents by their text, in bounded memory. Yoga's own cache is bounded by count, so that 1,000
 * documents of the largest size would fill 500 MB.
 *
 * Only valid documents are cached, because the errors of an invalid one may repeat its text a hundred times.
 */
export function createDocumentCache(): {
  options: { documentCache: LRUCache<string, DocumentNode>; errorCache: { get: () => undefined; set: () => void } };
  plugin: Plugin;
} {
  const documentCache = new LRUCache<string, DocumentNode>({
    maxSize: MAX_BYTES,
    sizeCalculation: (document, text) => 2 * text.length + BYTES_PER_TOKEN * countTokens(document),
  });
  return {
    // Syntax errors are not cached. Parsing such a document again is cheap enough, because MAX_TOKENS limits its length.
    options: { documentCache, errorCache: { get: () => undefined, set: () => undefined } },
    plugin: {
      onValidate:
        ({ params: { documentAST } }) =>
        ({ valid }) => {
          const text = (documentAST as DocumentNode).loc?.source.body;
          if (!valid && text !== undefined) documentCache.delete(text);
        },
    },
  };
}

function countTokens(document: DocumentNode): number {
  let count = 0;
  for (let token = document.loc?.startToken; token; token = token.next ?? undefined) count += 1;
  return count;
}
