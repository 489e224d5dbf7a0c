import { fragments } from './generated/fragments.ts';

/**
 * Appends the fragments of this package that a document uses, directly or through other fragments. All names begin with
 * `Chat`, and `fragments.graphql` of this package contains them for codegen.
 *
 * ```ts
 * const EDIT = gql(withFragments(`mutation ($id: ID!, $body: String!) {
 *   editMessage(input: { messageId: $id, body: $body }) { ...ChatMessagePayload }
 * }`));
 * ```
 */
export function withFragments(document: string): string {
  const used = new Set<string>();
  const use = (text: string): void => {
    for (const [, name = ''] of text.matchAll(/\.\.\.\s*(Chat\w+)/g)) {
      const fragment = (fragments as Record<string, string>)[name];
      if (fragment === undefined || used.has(fragment)) continue;
      used.add(fragment);
      use(fragment);
    }
  };
  use(document);
  return [document, ...used].join('\n');
}
