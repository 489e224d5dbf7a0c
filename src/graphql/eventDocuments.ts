import {
  type DocumentNode,
  execute,
  type ExecutionResult,
  getOperationAST,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  OperationTypeNode,
  type OperationDefinitionNode,
  TypeInfo,
  validate,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import type { Config } from '../core/config/settings.ts';
import { executionContext, type ServerNode, trackViewer, type ViewerTracking } from '../core/context.ts';
import { badInput, type ChatError } from '../core/errors.ts';
import { createUuid } from '../core/globalIds.ts';
import { withTimeout } from '../core/timeout.ts';
import { memoizeComplexity } from './plugins/complexity.ts';
import { collectErrors, limitRules, measureDocument, parseWithin } from './plugins/documentRules.ts';
import { createErrorMask } from './plugins/errorMask.ts';

/** Maximum number of documents that a node keeps in parsed form. */
const MAX_DOCUMENTS = 200;
/** Maximum length of a document in characters. */
const MAX_CHARACTERS = 20_000;

/** Values of the variables that the server supplies. */
export interface EventVariables {
  chatroomId: string;
}

const VARIABLES: readonly string[] = ['chatroomId'] satisfies (keyof EventVariables)[];

/** Subscription documents that are stored, and executed for events without a viewer. */
export interface EventDocuments {
  /**
   * Checks a document before it is stored.
   *
   * @param path name of the argument, for the error
   * @returns the name of the document's root field
   * @throws ChatError `BAD_USER_INPUT` if the document is invalid, exceeds a limit or selects a field that depends on a
   *   viewer
   */
  check(text: string, path: string): string;
  /**
   * Executes a document for an event.
   *
   * @param service name of the service that stored the document
   * @throws Error if the failure may be temporary; other errors are part of the result
   */
  execute(service: string, text: string, event: object, variables: EventVariables): Promise<ExecutionResult>;
}

/**
 * @param personalFields fields that depend on the viewer, in the form `Type.field`
 * @param roots subscription fields that a document may have
 */
export function createEventDocuments(
  config: Config,
  node: ServerNode,
  schema: GraphQLSchema,
  { personalFields, roots }: { personalFields: ReadonlySet<string>; roots: readonly string[] },
): EventDocuments {
  const rules = limitRules(config, true);
  const complexityOf = memoizeComplexity();
  const mask = createErrorMask(node.log);
  const parsed = new LRUCache<string, DocumentNode>({ max: MAX_DOCUMENTS });

  function parse(text: string): DocumentNode {
    const known = parsed.get(text);
    if (known) return known;
    const document = parseWithin(config.MAX_TOKENS, text, measureDocument(text, config.MAX_TOKENS));
    parsed.set(text, document);
    return document;
  }

  /** Returns the only root field. Throws a GraphQLError if the document is no such subscription. */
  function checkOperation(document: DocumentNode): string {
    const operations = document.definitions.filter((each) => each.kind === Kind.OPERATION_DEFINITION);
    const operation = getOperationAST(document);
    if (operations.length !== 1 || operation?.operation !== OperationTypeNode.SUBSCRIPTION)
      throw new GraphQLError('The document must have one operation, and this must be a subscription.');
    const [root, ...more] = operation.selectionSet.selections;
    if (root?.kind !== Kind.FIELD || more.length > 0 || !roots.includes(root.name.value))
      throw new GraphQLError(`The subscription must have one root field: ${roots.join(' or ')}.`);
    checkVariables(operation);
    return root.name.value;
  }

  function checkVariables({ variableDefinitions = [] }: OperationDefinitionNode): void {
    for (const { variable, type, defaultValue } of variableDefinitions) {
      const name = variable.name.value;
      const isRequired = type.kind === Kind.NON_NULL_TYPE && defaultValue === undefined;
      if (isRequired && !VARIABLES.includes(name))
        throw new GraphQLError(
          `The server does not supply the variable $${name}. It supplies ${VARIABLES.map((each) => `$${each}`).join(', ')}. Write other values into the document.`,
        );
    }
  }

  /** Throws a GraphQLError for the first field that depends on the viewer. */
  function refusePersonalFields(document: DocumentNode): void {
    const types = new TypeInfo(schema);
    visit(
      document,
      visitWithTypeInfo(types, {
        Field({ name }) {
          const coordinate = `${types.getParentType()?.name ?? ''}.${name.value}`;
          if (personalFields.has(coordinate))
            throw new GraphQLError(`${coordinate} depends on the viewer, and a webhook has none. Remove the field.`);
        },
      }),
    );
  }

  function checkDocument(text: string): string {
    const document = parse(text);
    const [error] = [
      ...collectErrors(() => validate(schema, document, rules)),
      ...collectErrors(() => validate(schema, document)),
    ];
    if (error) throw error;
    const root = checkOperation(document);
    refusePersonalFields(document);
    const complexity = complexityOf({ schema, document, variableValues: { chatroomId: '' } });
    if (complexity > config.MAX_COMPLEXITY)
      throw new GraphQLError(
        `The document asks for up to ${complexity} fields; the maximum is ${config.MAX_COMPLEXITY}. Select fewer.`,
      );
    return root;
  }

  return {
    check(text, path) {
      if (text.length > MAX_CHARACTERS)
        throw badInput(path, `A document has at most ${MAX_CHARACTERS} characters. Shorten it.`);
      try {
        return checkDocument(text);
      } catch (error) {
        if (error instanceof GraphQLError) throw refusal(error, path);
        throw error;
      }
    },
    async execute(service, text, event, variables) {
      const tracking: ViewerTracking = { viewerWasRead: false, personalFields: [], checks: [], ignoresBlocks: true };
      const result = await withTimeout(
        config.EXECUTION_SECONDS * 1_000,
        Promise.resolve(
          execute({
            schema,
            document: parse(text),
            rootValue: event,
            contextValue: trackViewer(contextOf(node, service), tracking),
            variableValues: { ...variables },
          }),
        ),
      );
      if (tracking.viewerWasRead || tracking.personalFields.length > 0)
        throw new Error('The document selects a field that depends on the viewer. Store another document.');
      if (!result.errors) return result;
      const errors = result.errors.map((error) => mask(error));
      // The failure may be an outage of the database. The receiver must not take its result for the event.
      const unforeseen = errors.find(({ extensions }) => extensions['code'] === 'INTERNAL_SERVER_ERROR');
      if (unforeseen) throw unforeseen;
      return { ...result, errors };
    },
  };
}

function contextOf(node: ServerNode, service: string) {
  const client = { ipAddress: null, userAgent: null };
  return executionContext({
    ...{
      node,
      client,
      viewer: null,
      service: { name: service, scopes: ['messages:read'] },
      authError: null,
      asOf: undefined,
    },
    ...{ requestId: createUuid(), cookies: null, onDisconnect: null, cache: {} },
    outcome: { endsSession: false, isCharged: false },
  });
}

function refusal(error: GraphQLError, path: string): ChatError {
  const [at] = error.locations ?? [];
  return badInput(path, `${at ? `Line ${at.line}, column ${at.column}: ` : ''}${error.message}`);
}
