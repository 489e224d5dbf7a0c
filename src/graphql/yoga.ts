import { type DocumentNode, type ExecutionArgs, GraphQLError, type GraphQLSchema } from 'graphql';
import type { ServerOptions, SubscribePayload } from 'graphql-ws';
import { createYoga } from 'graphql-yoga';
import { payerOf } from '../auth/sessions.ts';
import type { Config } from '../core/config/settings.ts';
import type { Operation, Outcome, ServerNode } from '../core/context.ts';
import { type GraphiqlPage, renderGraphiqlPage } from './graphiql.ts';
import { createDocumentCache } from './plugins/documentCache.ts';
import { executeInContext, passDocument, subscribeInContexts } from './plugins/contexts.ts';
import {
  checkBodies,
  limitExecution,
  refuseForms,
  refuseMalformedParameters,
  trustDocuments,
} from './plugins/requestGuards.ts';
import { createDocumentTurns, identifyPayers, limitQueries } from './plugins/documentLimits.ts';
import type { Payer } from '../platform/rateLimits/rateLimits.ts';
import { OperationSlots } from '../platform/rateLimits/slots.ts';
import { createStreamLimit } from '../platform/rateLimits/sockets.ts';
import { readTrustedDocuments } from './plugins/persistedDocuments.ts';
import { limitBots } from './plugins/botScopes.ts';
import { createErrorMask, maskValidation } from './plugins/errorMask.ts';
import { createOperation } from './operation.ts';
import { allowCrossOrigin } from './origins.ts';
import type { Source } from '../delivery/source.ts';
import { createSnapshotDecision } from './snapshotFields.ts';
import { retryQueries } from './plugins/retryQuery.ts';
import { logRequests } from './plugins/requestLog.ts';
import { traceOperations } from './plugins/traces.ts';
import { clientOf, credentialOf, PATH, readCredentials, type Transport } from './transport.ts';

/** Executes an operation or sets up a subscription. */
export type Run = (args: ExecutionArgs) => ReturnType<NonNullable<ServerOptions['execute']>>;

/**
 * An operation that is ready to run. `rootValue` contains the functions that run the operation. After a subscription
 * has been set up, `rootValue` also contains its stream.
 */
export type Prepared = ExecutionArgs & {
  rootValue: {
    execute: Run;
    subscribe: Run;
    /** Becomes complete during the execution. */
    outcome: Outcome;
    stream?: Source<object>;
  };
};

/**
 * Prepares an operation of a WebSocket with the same pipeline as HTTP. Returns the operation, or its validation errors.
 */
type Prepare = (transport: Transport, params: SubscribePayload) => Promise<Prepared | readonly GraphQLError[]>;

interface GraphQLOptions {
  schema: GraphQLSchema;
  /** Returns the options of the GraphiQL page. Called for each load of the page. */
  graphiql: () => GraphiqlPage | Promise<GraphiqlPage>;
}

/**
 * Creates the GraphQL handler of one node. It serves operations over HTTP and SSE, and prepares operations of
 * WebSockets.
 *
 * @throws ConfigError if PERSISTED_ONLY names a file that cannot be used
 */
export function createGraphQL(config: Config, node: ServerNode, options: GraphQLOptions) {
  const { schema, graphiql } = options;
  const { isOpen, mask } = devFeatures(config, node);
  const trust = config.PERSISTED_ONLY === undefined ? null : readTrustedDocuments(config.PERSISTED_ONLY, schema);
  const documents = createDocumentCache();
  const findPayer = (transport: Transport): Promise<Payer> =>
    payerOf(node, credentialOf(config, transport).authorization, clientOf(config, transport.incoming));
  const needsSnapshot = createSnapshotDecision(schema);
  const awaitTurn = createDocumentTurns(documents.options.documentCache, node.rateLimits);
  const yoga = createYoga<Transport, Operation>({
    schema,
    graphqlEndpoint: PATH,
    landingPage: false,
    batching: false,
    logging: false,
    cors: (request) => allowCrossOrigin(config, request),
    multipart: false,
    // Checked by `checkBodies` instead: Yoga would pipe every body through another stream.
    maxRequestBodySize: false,
    extraParamNames: trust ? ['documentId'] : [],
    graphiql: isOpen(config.GRAPHIQL) ? graphiql : false,
    renderGraphiQL: renderGraphiqlPage,
    parserAndValidationCache: documents.options,
    maskedErrors: { maskError: mask },
    context: (transport) =>
      createOperation(node, readCredentials(config, transport), needsSnapshot(transport.document)),
    plugins: [
      executeInContext,
      passDocument,
      logRequests(node, mask),
      refuseForms,
      refuseMalformedParameters,
      checkBodies(config.MAX_BODY_KB * 1_024),
      ...(trust ? [trustDocuments(trust)] : []),
      documents.plugin,
      identifyPayers(findPayer, node.rateLimits, awaitTurn),
      limitQueries(config, isOpen(config.INTROSPECTION), node.rateLimits, mask),
      limitBots(schema, mask),
      retryQueries,
      subscribeInContexts(config.EXECUTION_SECONDS * 1_000, createStreamLimit(config.MAX_STREAMS_PER_USER), mask),
      limitExecution(config, new OperationSlots(node.gauges), mask),
      ...(node.tracing ? [traceOperations(node.tracing)] : []),
      maskValidation(mask),
    ],
  });
  const prepare: Prepare = async (transport, params) => {
    const payer = await findPayer(transport);
    const trusted = trust ? trust(params) : params;
    await awaitTurn(payer, trusted.query);
    return prepareOperation(yoga, { ...transport, payer }, trusted);
  };
  return { yoga, prepare, maskOnSocket: (error: unknown) => withoutStatus(mask(error)) };
}

/**
 * Removes the HTTP status that Yoga stores in an error. Yoga itself removes the status only over HTTP, so WebSocket
 * clients would see it.
 */
function withoutStatus(error: GraphQLError): GraphQLError {
  const { nodes, source, positions, path } = error;
  const extensions = Object.fromEntries(Object.entries(error.extensions).filter(([name]) => name !== 'http'));
  return new GraphQLError(error.message, { nodes, source, positions, path, extensions });
}

export type GraphQL = ReturnType<typeof createGraphQL>;

/**
 * Returns the error mask, and a function that decides whether a developer feature is on. In production, these features
 * are off unless enabled.
 */
function devFeatures(config: Config, { log }: ServerNode) {
  const isOpen = (setting: 'on' | 'off' | undefined) =>
    (setting ?? (config.NODE_ENV === 'production' ? 'off' : 'on')) === 'on';
  return { isOpen, mask: createErrorMask(log, isOpen(config.INTROSPECTION)) };
}

/** Yoga's functions for one operation, each wrapped by the plugins. Yoga types them as `any`. */
interface Pipeline {
  schema: GraphQLSchema;
  parse: (query: string) => DocumentNode;
  validate: (schema: GraphQLSchema, document: DocumentNode) => readonly GraphQLError[];
  contextFactory: () => Promise<Operation>;
  execute: Prepared['rootValue']['execute'];
  subscribe: Prepared['rootValue']['subscribe'];
}

async function prepareOperation(
  yoga: GraphQL['yoga'],
  transport: Transport & { payer: Payer },
  params: SubscribePayload,
): Promise<Prepared | readonly GraphQLError[]> {
  const pipeline = yoga.getEnveloped({ ...transport, params } as never) as Pipeline;
  const document = pipeline.parse(params.query);
  const errors = pipeline.validate(pipeline.schema, document);
  if (errors.length > 0) return errors;
  const contextValue = await pipeline.contextFactory();
  return {
    schema: pipeline.schema,
    document,
    operationName: params.operationName,
    variableValues: params.variables,
    contextValue,
    rootValue: {
      execute: pipeline.execute,
      subscribe: pipeline.subscribe,
      outcome: contextValue.outcome,
    },
  };
}
