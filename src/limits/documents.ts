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
import type { Config } from '../config.ts';

/** Points of parsing and validating a document: one for each of so many tokens. 2,000 tokens take up to 120 ms of a core. */
const TOKENS_PER_POINT = 50;

export function documentPoints(tokens: number): number {
  return Math.floor(tokens / TOKENS_PER_POINT);
}

/** Maximum length of a name, in characters. An answer repeats an alias for each item of a list, and an error its names. */
const MAX_NAME_LENGTH = 256;
/** Maximum number of lines. For each error, graphql-js counts the lines before it: 100 errors below 100,000 took 2 s. */
const MAX_LINES = 2_000;

/** What a document is judged by before it is parsed. */
export interface DocumentSize {
  tokens: number;
  lines: number;
  longestName: number;
}

/** Measures a text up to its end, its first syntax error, or one token above `maxTokens`. */
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
    // The parser reports the syntax error.
    size.lines = lexer.line;
  }
  return size;
}

/**
 * Parses a document that has been measured.
 *
 * @throws GraphQLError `QUERY_TOO_COMPLEX` for a document that is too large; the parser's own for a syntax error
 */
export function parseWithin(maxTokens: number, text: string, size: DocumentSize, options?: ParseOptions): DocumentNode {
  if (size.tokens > maxTokens)
    throw tooComplex(`A document has at most ${maxTokens} words and signs. Ask for the rest in another one.`);
  if (size.lines > MAX_LINES)
    throw tooComplex(`A document has at most ${MAX_LINES} lines. Leave out empty lines and comments.`);
  if (size.longestName > MAX_NAME_LENGTH)
    throw tooComplex(`A name in a document has at most ${MAX_NAME_LENGTH} characters. Shorten it.`);
  return parse(text, options);
}

/** Rules that a document must pass before it is validated, because validation is expensive for what they refuse. */
export function limitRules(config: Config, introspection: boolean): ValidationRule[] {
  const limits = { exposeLimits: false, flattenFragments: true, allowList: [] };
  return [
    // The overlap rule of graphql-js overflows the stack for cycles of a hundred fragments.
    NoFragmentCyclesRule,
    maxDepthRule({
      ...limits,
      n: config.MAX_DEPTH,
      onReject: [refuse(`An operation goes at most ${config.MAX_DEPTH} levels deep. Ask for the rest in another one.`)],
    }),
    maxAliasesRule({
      ...limits,
      n: config.MAX_ALIASES,
      onReject: [
        refuse(
          `An operation has at most ${config.MAX_ALIASES} aliases. Look up many things by their ids with \`nodes\`, or ask for the rest in another one.`,
        ),
      ],
    }),
    maxDirectivesRule({
      ...limits,
      n: config.MAX_DIRECTIVES,
      onReject: [refuse(`An operation has at most ${config.MAX_DIRECTIVES} directives. Leave some out.`)],
    }),
    maxRepetitionsRule,
    introspection ? noIntrospectionAliases : noIntrospection,
  ];
}

/** Maximum number of times that one selection may have the same field. Validation compares each two of them. */
const MAX_REPETITIONS = 50;

const maxRepetitionsRule: ValidationRule = () => {
  const check = ({ selectionSet }: { selectionSet?: SelectionSetNode | undefined }) => {
    if (selectionSet) countFields(selectionSet, new Map());
  };
  return { OperationDefinition: check, FragmentDefinition: check, Field: check };
};

/** Counts the fields of a selection and of the inline fragments in it. */
function countFields({ selections }: SelectionSetNode, counts: Map<string, number>): void {
  for (const selection of selections) {
    if (selection.kind === Kind.INLINE_FRAGMENT) countFields(selection.selectionSet, counts);
    if (selection.kind !== Kind.FIELD) continue;
    const name = (selection.alias ?? selection.name).value;
    const count = (counts.get(name) ?? 0) + 1;
    if (count > MAX_REPETITIONS)
      throw tooComplex(`A selection has a field at most ${MAX_REPETITIONS} times. Ask for it once.`);
    counts.set(name, count);
  }
}

const noIntrospection: ValidationRule = () => ({
  Field({ name }) {
    if (name.value !== '__schema' && name.value !== '__type') return;
    const extensions = { code: 'BAD_USER_INPUT' };
    throw new GraphQLError('This server does not show its schema. It is in schema.graphql, beside the program.', {
      extensions,
    });
  },
});

/** Each alias would list the whole schema again: 14 of them took 0.7 s. The complexity does not count introspection. */
const noIntrospectionAliases: ValidationRule = (context) => ({
  Field({ alias, name }) {
    const isIntrospection = name.value === '__schema' || context.getParentType()?.name.startsWith('__');
    if (alias && isIntrospection) throw tooComplex('Fields of the introspection have no aliases. Leave them out.');
  },
});

function refuse(message: string): () => never {
  return () => {
    throw tooComplex(message);
  };
}

export function tooComplex(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'QUERY_TOO_COMPLEX' } });
}

/** Returns the errors that a check returns, or the one that it throws. */
export function collectErrors(check: () => readonly GraphQLError[]): readonly GraphQLError[] {
  try {
    return check();
  } catch (error) {
    if (error instanceof GraphQLError) return [error];
    // The stack overflowed: MAX_TOKENS allows deeper documents than graphql-js can walk.
    if (error instanceof RangeError) return [tooComplex('The document is nested too deeply. Ask for less at once.')];
    throw error;
  }
}
