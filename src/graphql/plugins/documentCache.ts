import type { DocumentNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { LRUCache } from 'lru-cache';

/** Maximum memory for parsed documents, in bytes. Enough for about 1,200 documents of 50 tokens. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Assumed memory of one token with its AST nodes, in bytes. On Node 20, 250 to 490 were measured. */
const BYTES_PER_TOKEN = 500;

/**
 * Creates a cache of parsed documents by their text, with a limit on memory. Yoga's own cache limits only the number of
 * documents: 1,000 documents of the maximum size would use at least 500 MB.
 *
 * Invalid documents are not cached, because their errors would stay in memory too. These errors can repeat the text of
 * the document a hundred times.
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
    // Syntax errors are not cached. Parsing the document again is cheap enough, because MAX_TOKENS limits its length.
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
