import { maxAliasesRule } from '@escape.tech/graphql-armor-max-aliases';
import { maxDepthRule } from '@escape.tech/graphql-armor-max-depth';
import { maxDirectivesRule } from '@escape.tech/graphql-armor-max-directives';
import {
  type DocumentNode,
  GraphQLError,
  Kind,
  Lexer,
  NoFragmentCyclesRule,
  parse,
  type ParseOptions,
  type SelectionSetNode,
  Source,
  TokenKind,
  type ValidationRule,
} from 'graphql';
import type { Config } from '../../core/config/settings.ts';

/**
 * Number of tokens of a document that cost one point. Parsing and validating 2,000 tokens takes up to 120 ms of CPU
 * time.
 */
const TOKENS_PER_POINT = 50;

/** Returns the points that parsing and validating a document costs. */
export function documentPoints(tokens: number): number {
  return Math.floor(tokens / TOKENS_PER_POINT);
}

/**
 * Maximum length of a name in a document, in characters. Long names would make responses long: an alias is repeated for
 * each item of a list, and errors repeat names.
 */
const MAX_NAME_LENGTH = 256;
/**
 * Maximum number of lines of a document. For each error, graphql-js counts the lines before the error: 100 errors after
 * 100,000 lines took 2 s.
 */
const MAX_LINES = 2_000;

/** Size of a document, measured before it is parsed. */
export interface DocumentSize {
  tokens: number;
  lines: number;
  longestName: number;
}

/** Measures a document. Stops at the end of the document, at the first syntax error, or one token after `maxTokens`. */
export function measureDocument(text: string, maxTokens: number): DocumentSize {
  const lexer = new Lexer(new Source(text));
  const size = { tokens: 0, lines: 1, longestName: 0 };
  try {
    while (size.tokens <= maxTokens) {
      const { kind, value } = lexer.advance();
      size.lines = lexer.line;
      if (kind === TokenKind.EOF) break;
      size.tokens += 1;
      if (kind === TokenKind.NAME) size.longestName = Math.max(size.longestName, value.length);
    }
  } catch {
    // Ignores the syntax error, because the parser reports it.
    size.lines = lexer.line;
  }
  return size;
}

/**
 * Parses a document that has been measured.
 *
 * @throws GraphQLError `QUERY_TOO_COMPLEX` if the document is too large; the parser's own error for a syntax error
 */
export function parseWithin(maxTokens: number, text: string, size: DocumentSize, options?: ParseOptions): DocumentNode {
  if (size.tokens > maxTokens)
    throw tooComplex(
      `A document has at most ${maxTokens} tokens (names, values and punctuation). Split it into several documents.`,
    );
  if (size.lines > MAX_LINES)
    throw tooComplex(`A document has at most ${MAX_LINES} lines. Remove empty lines and comments.`);
  if (size.longestName > MAX_NAME_LENGTH)
    throw tooComplex(`A name in a document has at most ${MAX_NAME_LENGTH} characters. Shorten it.`);
  return parse(text, options);
}

/**
 * Returns the rules that are checked before validation. Most of them refuse documents whose validation would be
 * expensive.
 */
export function limitRules(config: Config, introspection: boolean): ValidationRule[] {
  const limits = { exposeLimits: false, flattenFragments: true, allowList: [] };
  return [
    // Checked before validation, because a validation rule of graphql-js (overlapping fields) overflows the stack for a
    // cycle of a hundred fragments.
    NoFragmentCyclesRule,
    maxDepthRule({
      ...limits,
      n: config.MAX_DEPTH,
      onReject: [
        refuse(`An operation is at most ${config.MAX_DEPTH} levels deep. Request deeper fields in another operation.`),
      ],
    }),
    maxAliasesRule({
      ...limits,
      n: config.MAX_ALIASES,
      onReject: [
        refuse(
          `An operation has at most ${config.MAX_ALIASES} aliases. Look up many objects by id with \`nodes\`, or split the operation.`,
        ),
      ],
    }),
    maxDirectivesRule({
      ...limits,
      n: config.MAX_DIRECTIVES,
      onReject: [refuse(`An operation has at most ${config.MAX_DIRECTIVES} directives. Remove some.`)],
    }),
    maxRepetitionsRule,
    introspection ? noIntrospectionAliases : noIntrospection,
  ];
}

/** Maximum number of times that a selection may repeat a field. Validation compares every pair of repetitions. */
const MAX_REPETITIONS = 50;

const maxRepetitionsRule: ValidationRule = () => {
  const check = ({ selectionSet }: { selectionSet?: SelectionSetNode | undefined }) => {
    if (selectionSet) countFields(selectionSet, new Map());
  };
  return { OperationDefinition: check, FragmentDefinition: check, Field: check };
};

/**
 * Counts how often a selection and its inline fragments repeat each field. Throws `QUERY_TOO_COMPLEX` if a field is
 * repeated more than {@link MAX_REPETITIONS} times.
 */
function countFields({ selections }: SelectionSetNode, counts: Map<string, number>): void {
  for (const selection of selections) {
    if (selection.kind === Kind.INLINE_FRAGMENT) countFields(selection.selectionSet, counts);
    if (selection.kind !== Kind.FIELD) continue;
    const name = (selection.alias ?? selection.name).value;
    const count = (counts.get(name) ?? 0) + 1;
    if (count > MAX_REPETITIONS)
      throw tooComplex(`A selection repeats a field at most ${MAX_REPETITIONS} times. Request it once.`);
    counts.set(name, count);
  }
}

const noIntrospection: ValidationRule = () => ({
  Field({ name }) {
    if (name.value !== '__schema' && name.value !== '__type') return;
    const extensions = { code: 'BAD_USER_INPUT' };
    throw new GraphQLError('Introspection is off on this server. Read schema.graphql in the program folder instead.', {
      extensions,
    });
  },
});

/**
 * Refuses aliases in introspection. Each alias would list the whole schema again, and the complexity limit does not
 * count introspection: 14 aliases took 0.7 s.
 */
const noIntrospectionAliases: ValidationRule = (context) => ({
  Field({ alias, name }) {
    const isIntrospection = name.value === '__schema' || context.getParentType()?.name.startsWith('__');
    if (alias && isIntrospection) throw tooComplex('Introspection fields may not have aliases. Remove them.');
  },
});

function refuse(message: string): () => never {
  return () => {
    throw tooComplex(message);
  };
}

/** Creates a `QUERY_TOO_COMPLEX` error. */
export function tooComplex(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'QUERY_TOO_COMPLEX' } });
}

/**
 * Runs a check and returns its errors. If the check throws a GraphQL error, returns only that error. Converts a stack
 * overflow to `QUERY_TOO_COMPLEX`.
 */
export function collectErrors(check: () => readonly GraphQLError[]): readonly GraphQLError[] {
  try {
    return check();
  } catch (error) {
    if (error instanceof GraphQLError) return [error];
    // A stack overflow. MAX_TOKENS allows deeper documents than graphql-js can walk.
    if (error instanceof RangeError) return [tooComplex('The document is nested too deeply. Use fewer levels.')];
    throw error;
  }
}
