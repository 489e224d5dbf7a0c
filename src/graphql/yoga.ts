import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type DocumentNode,
  execute,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  type GraphQLSchema,
} from 'graphql';
import type { ServerOptions, SubscribePayload } from 'graphql-ws';
import { createYoga, type Plugin } from 'graphql-yoga';
import { openCookieJar } from './cookies.ts';
import { clientInfo, payerOf } from '../auth/sessions.ts';
import type { Config } from '../core/config/settings.ts';
import {
  type Context,
  executionContext,
  subscriptionContext,
  type Operation,
  type ClientInfo,
  type ServerNode,
} from '../core/context.ts';
import { type GraphiqlPage, renderGraphiqlPage } from './graphiql.ts';
import { createUuid } from '../core/globalIds.ts';
import { addressOf } from '../core/clientAddress.ts';
import { isLocalOrigin } from '../core/hosts.ts';
import { createDocumentCache } from './plugins/documentCache.ts';
import {
  checkBodies,
  limitExecution,
  refuseForms,
  refuseMalformedParameters,
  trustDocuments,
} from './plugins/requestGuards.ts';
import { createDocumentTurns, limitQueries } from './plugins/documentLimits.ts';
import { BYTES_PER_POINT, type Payer, type RateLimits } from '../platform/rateLimits/rateLimits.ts';
import { OperationSlots } from '../platform/rateLimits/slots.ts';
import { withTimeout } from '../core/timeout.ts';
import { checkStreamVariables, createStreamLimit } from '../platform/rateLimits/sockets.ts';
import { readTrustedDocuments } from './plugins/persistedDocuments.ts';
import { createErrorMask, isRequestId } from './plugins/errorMask.ts';
import { type RequestCredentials, createOperation } from './operation.ts';
import { isSource, type Source } from '../delivery/source.ts';
import { subscribe } from './subscription.ts';
import { retryQueries } from './plugins/retryQuery.ts';
import { logRequests, rootFieldOf } from './plugins/requestLog.ts';
import type { Tracing } from '../platform/observability/tracing.ts';

/** Path of the API over HTTP, SSE and WebSocket. */
export const PATH = '/graphql';

/** The HTTP request or WebSocket that an operation arrived on. */
export interface Transport {
  incoming: IncomingMessage;
  /** Null over WebSocket. */
  response: ServerResponse | null;
  /** The `authorization` parameter of a WebSocket. */
  authorization?: unknown;
}

/** Executes an operation or sets up a subscription. */
export type Run = (args: ExecutionArgs) => ReturnType<NonNullable<ServerOptions['execute']>>;

/**
 * An operation that is ready to run. `rootValue` contains the functions that run the operation and, for a subscription,
 * its stream.
 */
export type Prepared = ExecutionArgs & {
  rootValue: {
    execute: Run;
    subscribe: Run;
    /** Whether the operation ends its own session. */
    endsSession: () => boolean;
    stream?: Source<object>;
  };
};

/** Prepares an operation of a WebSocket with the same pipeline as HTTP. Returns the operation, or the errors that refuse it. */
type Prepare = (transport: Transport, params: SubscribePayload) => Promise<Prepared | readonly GraphQLError[]>;

interface GraphQLOptions {
  schema: GraphQLSchema;
  /** Returns the options of the GraphiQL page. Called for each load of the page. */
  graphiql: () => GraphiqlPage | Promise<GraphiqlPage>;
}

/**
 * Creates the GraphQL handler of one node. It serves operations over HTTP and SSE, and prepares operations of WebSockets.
 *
 * @throws ConfigError if PERSISTED_ONLY names a file that cannot be used
 */
export function createGraphQL(config: Config, node: ServerNode, options: GraphQLOptions) {
  const { schema, graphiql } = options;
  const { isOpen, mask } = devFeatures(config, node);
  const trust = config.PERSISTED_ONLY === undefined ? null : readTrustedDocuments(config.PERSISTED_ONLY, schema);
  const documents = createDocumentCache();
  const findPayer = (transport: Transport): Promise<Payer> =>
    payerOf(node.accessTokens, credentialOf(config, transport).authorization, clientOf(config, transport.incoming));
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
    context: (transport) => createOperation(node, readCredentials(config, transport)),
    plugins: [
      executeInContext,
      logRequests(node, mask),
      refuseForms,
      refuseMalformedParameters,
      checkBodies(config.MAX_BODY_KB * 1_024),
      ...(trust ? [trustDocuments(trust)] : []),
      documents.plugin,
      identifyPayers(findPayer, node.rateLimits, awaitTurn),
      limitQueries(config, isOpen(config.INTROSPECTION), node.rateLimits, mask),
      retryQueries,
      subscribeWithEventContexts(
        config.EXECUTION_SECONDS * 1_000,
        createStreamLimit(config.MAX_STREAMS_PER_USER),
        mask,
      ),
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

/** Returns the credential of a request. Cookies are used only if no page of another site can have sent the request. */
function credentialOf(config: Config, { incoming, response, authorization }: Transport) {
  const { headers } = incoming;
  const secure = config.PUBLIC_URL?.startsWith('https:') ?? false;
  const jar = openCookieJar(headers.cookie, { path: PATH, secure }, (cookie) => {
    response?.appendHeader('set-cookie', cookie);
  });
  const trusted = mayUseCookies(config, incoming);
  const cookieToken = trusted && jar.accessToken !== null ? `Bearer ${jar.accessToken}` : undefined;
  return { authorization: authorization ?? headers.authorization ?? cookieToken, jar, trusted };
}

/** Returns the credentials of an operation, and adds its request id to the response headers. */
export function readCredentials(config: Config, transport: Transport): RequestCredentials {
  const { incoming, response } = transport;
  const { authorization, jar, trusted } = credentialOf(config, transport);
  // A proxy may have set a request id. Using the same id lets operators find the request in the logs of both.
  const given = incoming.headers['x-request-id'];
  const requestId = isRequestId(given) ? given : createUuid();
  response?.setHeader('x-request-id', requestId);
  return {
    authorization,
    client: clientOf(config, incoming),
    // Over WebSocket each operation gets its own id, because many operations share one request.
    requestId: response ? requestId : undefined,
    onDisconnect: response && ((listener) => onClose(response, listener)),
    cookies: response && (trusted ? jar : { ...jar, refreshToken: null, deviceToken: null, mayKeep: false }),
  };
}

/**
 * Returns the address and device of a client. Addresses in `X-Forwarded-For` are used only if a trusted proxy has added
 * them.
 */
export function clientOf(config: Config, { headers, socket }: IncomingMessage): ClientInfo {
  const address = addressOf(socket.remoteAddress, headers['x-forwarded-for']?.toString(), config.TRUSTED_PROXIES);
  return clientInfo(address, headers['user-agent']);
}

/**
 * Returns whether a request comes from an allowed page, or from no page at all.
 *
 * Browsers send the Origin header with each POST and each WebSocket. A GET without that header is allowed. A POST
 * without that header is allowed only if it is JSON, because a browser would have sent a CORS preflight before such a
 * request.
 */
function mayUseCookies(config: Config, { headers, method }: IncomingMessage): boolean {
  if (headers.origin !== undefined) return allowsOrigin(config, headers.origin, headers.host);
  return method === 'GET' || (headers['content-type']?.startsWith('application/json') ?? false);
}

/**
 * Returns whether pages of an origin other than this server's may call the API. Allowed are `ALLOWED_ORIGINS` and, in
 * development, localhost.
 *
 * DNS rebinding gives a page no allowed origin, because an origin contains the host name from which the page was
 * loaded, not the address.
 */
function allowsForeignOrigin(config: Config, origin: string): boolean {
  return config.ALLOWED_ORIGINS.includes(origin) || (config.NODE_ENV === 'development' && isLocalOrigin(origin));
}

/**
 * Returns whether pages of an origin may use cookies and open WebSockets. Allowed are this server's own origin and
 * those that {@link allowsForeignOrigin} allows.
 *
 * In production with `PUBLIC_URL`, the own origin is exactly the origin of that URL, including the scheme. A page that
 * a man in the middle has forged over plain http then has another origin. In all other cases, an origin with the host
 * to which the request was sent is also the own origin.
 */
export function allowsOrigin(config: Config, origin: string, host: string | undefined): boolean {
  if (allowsForeignOrigin(config, origin)) return true;
  if (config.PUBLIC_URL !== undefined && origin === new URL(config.PUBLIC_URL).origin) return true;
  const isPinned = config.NODE_ENV === 'production' && config.PUBLIC_URL !== undefined;
  return !isPinned && host !== undefined && (origin === `http://${host}` || origin === `https://${host}`);
}

/**
 * Returns the CORS options for an allowed foreign origin; false for all other origins. Options without the request's
 * origin would make Yoga allow the origin `null`, which is the origin of sandboxed frames.
 */
function allowCrossOrigin(config: Config, request: Request) {
  const origin = request.headers.get('origin');
  if (origin === null || !allowsForeignOrigin(config, origin)) return false;
  return { origin, credentials: true };
}

/** Sets the payer of an HTTP request, charges for its bytes, and waits until its document may be parsed. */
function identifyPayers(
  findPayer: (transport: Transport) => Promise<Payer>,
  rates: RateLimits,
  awaitTurn: ReturnType<typeof createDocumentTurns>,
): Plugin {
  return {
    async onParams({ context, params }) {
      const transport = context as Transport & { bodyBytes?: number };
      const payer = await findPayer(transport);
      Object.assign(context, { payer });
      const points = Math.floor((transport.bodyBytes ?? 0) / BYTES_PER_POINT);
      if (points > 0) await rates.charge(payer, points);
      await awaitTurn(payer, params.query ?? '');
    },
  };
}

/**
 * Creates the execution context from the operation. Must be the first plugin: the later plugins wrap its function, and
 * therefore still receive the operation.
 */
const executeInContext: Plugin = {
  onExecute({ executeFn, setExecuteFn }) {
    const run = executeFn as (args: ExecutionArgs) => unknown;
    setExecuteFn((args: ExecutionArgs) =>
      run({ ...args, contextValue: executionContext(args.contextValue as Operation) }),
    );
  },
};

/**
 * Replaces `subscribe` and limits the number of streams per user. Each event of a subscription is executed in a new
 * context.
 *
 * When a session ends, its streams over HTTP end. Over WebSocket, the whole socket closes instead, with a code that
 * shows whether the client may reconnect.
 */
const subscribeWithEventContexts = (
  ms: number,
  streams: ReturnType<typeof createStreamLimit>,
  mask: (error: unknown) => GraphQLError,
): Plugin => ({
  onSubscribe({ setSubscribeFn }) {
    setSubscribeFn(async (args: ExecutionArgs) => {
      const context = subscriptionContext(args.contextValue as Operation);
      const { tracing, viewer } = context;
      let leave = () => {};
      try {
        if (viewer) leave = streams.enter(viewer.userId);
      } catch (error) {
        return { errors: [mask(error)] };
      }
      const results = await subscribe(
        { ...args, rootValue: undefined, contextValue: context },
        {
          watch(onEnd) {
            const stopWatching = watchStream(context, onEnd);
            return () => {
              stopWatching();
              leave();
            };
          },
          execute(event) {
            const run = () => {
              const result = execute(event);
              return result instanceof Promise ? withTimeout(ms, result) : result;
            };
            return tracing ? deliver(tracing, event, run) : run();
          },
        },
      ).catch((error: unknown) => {
        leave();
        throw error;
      });
      if (!isSource(results)) {
        leave();
        return results;
      }
      try {
        // Checked after the arguments of the subscription, because an error about an argument is more helpful: it names
        // the argument.
        checkStreamVariables(args.variableValues);
      } catch (error) {
        results.end();
        return { errors: [mask(error)] };
      }
      // Releases the rows loaded during setup, which the stream does not need.
      context.cache = {};
      // The WebSocket server reads this stream directly. The other plugins would wrap each result in a promise.
      Object.assign(args.rootValue ?? {}, { stream: results });
      return results;
    });
  },
});

/** Creates a trace span per operation, named after its root field. Operation names are chosen by clients and not unique. */
function traceOperations(tracing: Tracing): Plugin {
  const trace = <Result>(args: ExecutionArgs, run: () => Result | Promise<Result>) => {
    const { params } = args.contextValue as { params?: { extensions?: Record<string, unknown> | null } };
    const { response } = args.contextValue as Partial<Transport>;
    // Over HTTP, `traceparent` is a header, and the span of the HTTP request has already read it.
    const traceparent = response ? undefined : params?.extensions?.['traceparent'];
    return tracing.within(rootFieldOf(args.document, args.operationName), {}, run, traceparent);
  };
  return {
    onExecute({ executeFn, setExecuteFn }) {
      const run = executeFn as (args: ExecutionArgs) => unknown;
      setExecuteFn((args: ExecutionArgs) => trace(args, () => run(args)));
    },
    onSubscribe({ subscribeFn, setSubscribeFn }) {
      const run = subscribeFn as (args: ExecutionArgs) => unknown;
      setSubscribeFn((args: ExecutionArgs) => trace(args, () => run(args)));
    },
  };
}

function deliver(tracing: Tracing, event: ExecutionArgs, run: () => ExecutionResult | Promise<ExecutionResult>) {
  const { isShared, chatroomId, seq } = event.rootValue as { isShared?: boolean; chatroomId: string; seq?: number };
  const position = isShared && seq !== undefined ? { chatroomId, seq } : null;
  return tracing.deliver(`deliver ${rootFieldOf(event.document, event.operationName)}`, position, async () => run());
}

function watchStream(context: Context, onEnd: (reason: Error | null) => void): () => void {
  const { gauges, sessions, viewer, onDisconnect } = context;
  const sse = onDisconnect ? 1 : 0;
  gauges.streams += 1;
  gauges.sse += sse;
  const stopWatching = [
    // Only for SSE. Over WebSocket, the end of the session closes the socket, and the socket ends its streams.
    viewer && onDisconnect ? sessions.watch(viewer, onEnd) : null,
    onDisconnect?.(() => {
      onEnd(null);
    }),
  ];
  return () => {
    gauges.streams -= 1;
    gauges.sse -= sse;
    for (const stop of stopWatching) stop?.();
  };
}

/**
 * Calls a function when a response closes, or in a microtask if the response is already closed. Returns a function that
 * removes the listener.
 */
function onClose(response: ServerResponse, listener: () => void): () => void {
  if (response.destroyed) queueMicrotask(listener);
  response.once('close', listener);
  return () => response.off('close', listener);
}

/** Masks validation errors like any other error. */
function maskValidation(mask: (error: unknown) => GraphQLError): Plugin {
  return {
    onValidate:
      () =>
      ({ result, setResult }) => {
        setResult(result.map(mask));
      },
  };
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
      endsSession: () => contextValue.sessionEnd.isExpected,
    },
  };
}
