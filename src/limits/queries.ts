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
      const errors = catching(() => checkComplexity(args, config.MAX_COMPLEXITY));
      if (errors.length > 0) setResultAndStopExecution({ errors });
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const errors = catching(() => checkComplexity(args, config.MAX_COMPLEXITY));
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

/** @throws GraphQLError for an operation that is too complex, whatever lists it asks for */
function checkComplexity({ schema, document, operationName, variableValues }: ExecutionArgs, most: number): [] {
  const operation = getOperationAST(document, operationName);
  // Execution fails for these, and says all that is wrong.
  if (!operation) return [];
  const variables = variableValues ?? {};
  if (getVariableValues(schema, operation.variableDefinitions ?? [], variables).errors) return [];
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const asked: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] };
  const { complexity } = complexityFromQuery(asked, { schema, variables });
  if (complexity > most)
    throw tooMuch(
      `This asks for up to ${complexity} fields, of ${most} at most. Ask for fewer items or fields, or page.`,
    );
  return [];
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
