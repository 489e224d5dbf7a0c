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

/** Counts the tokens of a text up to its end, its first syntax error, or one above `max`. */
export function countTokens(text: string, max: number): number {
  const lexer = new Lexer(new Source(text));
  let count = 0;
  try {
    while (count <= max && lexer.advance().kind !== TokenKind.EOF) count += 1;
  } catch {
    // The parser reports the syntax error.
  }
  return count;
}

/**
 * Parses a document whose tokens have been counted.
 *
 * @throws GraphQLError `QUERY_TOO_COMPLEX` for a document with too many tokens; the parser's own for a syntax error
 */
export function parseWithin(maxTokens: number, text: string, tokens: number, options?: ParseOptions): DocumentNode {
  if (tokens > maxTokens)
    throw tooComplex(`A document has at most ${maxTokens} words and signs. Ask for the rest in another one.`);
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
      onReject: [refuse(`An operation has at most ${config.MAX_ALIASES} aliases. Ask for the rest in another one.`)],
    }),
    maxDirectivesRule({
      ...limits,
      n: config.MAX_DIRECTIVES,
      onReject: [refuse(`An operation has at most ${config.MAX_DIRECTIVES} directives. Leave some out.`)],
    }),
    maxRepetitionsRule,
    ...(introspection ? [] : [noIntrospection]),
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
