import { maxAliasesRule } from '@escape.tech/graphql-armor-max-aliases';
import { maxDepthRule } from '@escape.tech/graphql-armor-max-depth';
import { maxDirectivesRule } from '@escape.tech/graphql-armor-max-directives';
import { complexityFromQuery } from '@pothos/plugin-complexity';
import {
  type DocumentNode,
  type ExecutionArgs,
  getOperationAST,
  getVariableValues,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  parse,
  validate,
  type ValidationRule,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Config } from '../config.ts';

/**
 * Refuses what asks for too much at once, before anything of it is done: a document that is too long, too deep or has too
 * many aliases or directives before it is validated, and an operation that is too complex before it is executed. A document
 * that is refused has one error, however much is wrong with it.
 */
export function limitQueries(config: Config, introspection: boolean): Plugin {
  const rules = rulesOf(config, introspection);
  // Yoga remembers what it has parsed.
  const examined = new WeakMap<DocumentNode, readonly GraphQLError[]>();
  const complexityOf = rememberComplexity();
  function checkComplexity(args: ExecutionArgs): readonly GraphQLError[] {
    const [complexity, most] = [complexityOf(args), config.MAX_COMPLEXITY];
    if (complexity <= most) return [];
    return [
      tooMuch(`This asks for up to ${complexity} fields, of ${most} at most. Ask for fewer items or fields, or page.`),
    ];
  }
  return {
    onParse({ setParseFn }) {
      setParseFn((source, options) => parseInLimits(source as string, options as object, config.MAX_TOKENS));
    },
    onValidate({ params: { schema, documentAST }, setResult }) {
      const document = documentAST as DocumentNode;
      let errors = examined.get(document);
      if (!errors)
        examined.set(document, (errors = catching(() => validate(schema as GraphQLSchema, document, rules))));
      if (errors.length > 0) setResult(errors);
    },
    onExecute({ args, setResultAndStopExecution }) {
      const errors = catching(() => checkComplexity(args));
      if (errors.length > 0) setResultAndStopExecution({ errors });
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const errors = catching(() => checkComplexity(args));
      if (errors.length > 0) setResultAndStopExecution({ errors });
    },
  };
}

function rulesOf(config: Config, introspection: boolean): ValidationRule[] {
  const limits = { exposeLimits: false, flattenFragments: true, allowList: [] };
  return [
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
    ...(introspection ? [] : [noIntrospection]),
  ];
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

function parseInLimits(source: string, options: object, maxTokens: number): DocumentNode {
  try {
    return parse(source, { ...options, maxTokens });
  } catch (error) {
    if (error instanceof GraphQLError && error.message.includes(`more that ${maxTokens} tokens`))
      throw tooMuch(`A document has at most ${maxTokens} words and signs. Ask for the rest in another one.`);
    throw error;
  }
}

/** How many answers are remembered of one document. */
const MOST_ANSWERS = 100;

/** Reckons how complex an operation is, whatever lists it asks for, and remembers it for those that ask for as much. */
function rememberComplexity(): (args: ExecutionArgs) => number {
  const documents = new WeakMap<DocumentNode, Map<string, number>>();
  return (args) => {
    const { document, operationName, variableValues } = args;
    let answers = documents.get(document);
    if (!answers) documents.set(document, (answers = new Map<string, number>()));
    const variables = getOperationAST(document, operationName)?.variableDefinitions ?? [];
    const asked = [operationName, ...variables.map(({ variable }) => sizeOf(variableValues?.[variable.name.value]))];
    const key = asked.join(' ');
    const answer = answers.get(key) ?? reckonComplexity(args);
    // Not what could not be reckoned: of another operation of the same sizes it could be.
    if (answer !== null) answers.set(key, answer);
    if (answers.size > MOST_ANSWERS) answers.clear();
    return answer ?? 0;
  };
}

/** How many a value asks for, as a number or a list; and no more of it: a client may send a long one. */
function sizeOf(value: unknown): string {
  if (Array.isArray(value)) return `of ${value.length}`;
  return value === null || typeof value === 'number' ? String(value) : typeof value;
}

/**
 * Null for what cannot be executed either, which says all that is wrong with it.
 *
 * @throws GraphQLError what the library throws
 */
function reckonComplexity({ schema, document, operationName, variableValues }: ExecutionArgs): number | null {
  const operation = getOperationAST(document, operationName);
  if (!operation) return null;
  const variables = variableValues ?? {};
  if (getVariableValues(schema, operation.variableDefinitions ?? [], variables).errors) return null;
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const asked: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] };
  return complexityFromQuery(asked, { schema, variables }).complexity;
}

function refuse(message: string): () => never {
  return () => {
    throw tooMuch(message);
  };
}

function tooMuch(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'QUERY_TOO_COMPLEX' } });
}

function catching(check: () => readonly GraphQLError[]): readonly GraphQLError[] {
  try {
    return check();
  } catch (error) {
    if (error instanceof GraphQLError) return [error];
    throw error;
  }
}
