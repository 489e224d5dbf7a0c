import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type DocumentNode,
  execute,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  type GraphQLSchema,
} from 'graphql';
import type { SubscribePayload } from 'graphql-ws';
import { createYoga, type Plugin } from 'graphql-yoga';
import { openCookieJar } from './auth/cookies.ts';
import { originOf, payerOf } from './auth/sessions.ts';
import type { Config } from './config.ts';
import {
  type Context,
  contextOf,
  freshContext,
  keptContext,
  observeViewer,
  type Operation,
  type Origin,
  type ServerNode,
} from './context.ts';
import type { Tally } from './counts.ts';
import { graphiqlOptions, renderGraphiqlPage } from './graphiql.ts';
import { createUuid } from './ids.ts';
import { addressOf } from './limits/address.ts';
import { isLocalOrigin } from './limits/hosts.ts';
import { createDocumentCache } from './limits/documentCache.ts';
import {
  checkBodies,
  limitExecution,
  refuseForms,
  refuseMalformedParameters,
  trustDocuments,
} from './limits/plugins.ts';
import { createDocumentTurns, limitQueries } from './limits/queries.ts';
import { BYTES_PER_POINT, type Payer, type Rates } from './limits/rates.ts';
import { OperationSlots } from './limits/slots.ts';
import { within } from './limits/time.ts';
import { checkStreamVariables, createStreamLimit } from './limits/sockets.ts';
import { readTrustedDocuments } from './limits/trusted.ts';
import { createErrorMask, isRequestId } from './mask.ts';
import { type Arrival, createOperation } from './node.ts';
import { isSource } from './realtime/pull.ts';
import { subscribe } from './realtime/subscribe.ts';
import type { Prepared } from './realtime/websocket.ts';
import { rereadQueries } from './reread.ts';
import { measureRequests, rootFieldOf } from './requests.ts';
import { buildSchema } from './schema.ts';
import type { Tracing } from './tracing.ts';

export const PATH = '/graphql';

/** What a transport knows of an operation before GraphQL does. */
export interface Transport {
  incoming: IncomingMessage;
  /** Null over WebSocket. */
  response: ServerResponse | null;
  /** What a WebSocket was opened with. */
  authorization?: unknown;
}

/** Takes an operation of a WebSocket through the same pipeline as one over HTTP. Answers what to run, or why not. */
type Prepare = (transport: Transport, params: SubscribePayload) => Promise<Prepared | readonly GraphQLError[]>;

/** Answers operations over HTTP and SSE, and prepares those of WebSockets. */
export function createGraphQL(config: Config, node: ServerNode) {
  const schema = buildSchema();
  const { isOpen, mask } = openness(config, node);
  const trust = config.PERSISTED_ONLY === undefined ? null : readTrustedDocuments(config.PERSISTED_ONLY, schema);
  const documents = createDocumentCache();
  const findPayer = (transport: Transport): Promise<Payer> =>
    payerOf(node.accessTokens, credentialOf(config, transport).authorization, whereFrom(config, transport.incoming));
  const awaitTurn = createDocumentTurns(documents.options.documentCache, node.rates);
  const yoga = createYoga<Transport, Operation>({
    schema,
    graphqlEndpoint: PATH,
    landingPage: false,
    batching: false,
    logging: false,
    cors: (request) => allowCrossOrigin(config, request),
    multipart: false,
    // See checkBodies.
    maxRequestBodySize: false,
    extraParamNames: trust ? ['documentId'] : [],
    graphiql: isOpen(config.GRAPHIQL) ? () => graphiqlOptions(node, { demo: config.NODE_ENV !== 'production' }) : false,
    renderGraphiQL: renderGraphiqlPage,
    parserAndValidationCache: documents.options,
    maskedErrors: { maskError: mask },
    context: (transport) => createOperation(node, arrivalOf(config, transport)),
    plugins: [
      inContexts,
      measureRequests(node, mask),
      refuseForms,
      refuseMalformedParameters,
      checkBodies(config.MAX_BODY_KB * 1_024),
      ...(trust ? [trustDocuments(trust)] : []),
      documents.plugin,
      identifyPayers(findPayer, node.rates, awaitTurn),
      limitQueries(config, isOpen(config.INTROSPECTION), node.rates, mask),
      rereadQueries,
      freshContexts(config.EXECUTION_SECONDS * 1_000, createStreamLimit(config.MAX_STREAMS_PER_USER), mask),
      limitExecution(config, new OperationSlots(node.open), mask),
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

/** The HTTP status that Yoga keeps in an error is nothing to clients, and over WebSocket nobody takes it out. */
function withoutStatus(error: GraphQLError): GraphQLError {
  const { nodes, source, positions, path } = error;
  const extensions = Object.fromEntries(Object.entries(error.extensions).filter(([name]) => name !== 'http'));
  return new GraphQLError(error.message, { nodes, source, positions, path, extensions });
}

export type GraphQL = ReturnType<typeof createGraphQL>;

/** What is shown to developers, and in production only if it is asked for. */
function openness(config: Config, { log }: ServerNode) {
  const isOpen = (setting: 'on' | 'off' | undefined) =>
    (setting ?? (config.NODE_ENV === 'production' ? 'off' : 'on')) === 'on';
  return { isOpen, mask: createErrorMask(log, isOpen(config.INTROSPECTION)) };
}

/** Returns the credential of a request: its header or, if no page of another site can have sent them, its cookies. */
function credentialOf(config: Config, { incoming, response, authorization }: Transport) {
  const { headers } = incoming;
  const secure = config.PUBLIC_URL?.startsWith('https:') ?? false;
  const jar = openCookieJar(headers.cookie, { path: PATH, secure }, (cookie) => {
    response?.appendHeader('set-cookie', cookie);
  });
  const trusted = isOwn(config, incoming);
  const cookieToken = trusted && jar.accessToken !== null ? `Bearer ${jar.accessToken}` : undefined;
  return { authorization: authorization ?? headers.authorization ?? cookieToken, jar, trusted };
}

/** Returns the credential of an operation and where it comes from. */
export function arrivalOf(config: Config, transport: Transport): Arrival {
  const { incoming, response } = transport;
  const { authorization, jar, trusted } = credentialOf(config, transport);
  // A proxy may have named the request already: it is found by the same name in both logs.
  const given = incoming.headers['x-request-id'];
  const requestId = isRequestId(given) ? given : createUuid();
  response?.setHeader('x-request-id', requestId);
  return {
    authorization,
    origin: whereFrom(config, incoming),
    // Over WebSocket, many operations come with one request.
    requestId: response ? requestId : undefined,
    onGone: response && ((listener) => onClose(response, listener)),
    cookies: response && (trusted ? jar : { ...jar, refreshToken: null, deviceToken: null, mayKeep: false }),
  };
}

/** Where a request comes from, as far as proxies are trusted. */
export function whereFrom(config: Config, { headers, socket }: IncomingMessage): Origin {
  const address = addressOf(socket.remoteAddress, headers['x-forwarded-for']?.toString(), config.TRUSTED_PROXIES);
  return originOf(address, headers['user-agent']);
}

/**
 * Whether a request comes from a page of ours, or from no page at all. A browser says where a page is from in each POST
 * and each WebSocket; where it does not, a content type that no form can send shows that it has asked us before (CORS).
 */
function isOwn(config: Config, { headers, method }: IncomingMessage): boolean {
  if (headers.origin !== undefined) return allowsOrigin(config, headers.origin, headers.host);
  return method === 'GET' || (headers['content-type']?.startsWith('application/json') ?? false);
}

/**
 * Whether pages of another server may call the API: those of `ALLOWED_ORIGINS` and, in development, pages of localhost. A
 * browser gives no page of another site such an origin, with DNS rebinding neither: the origin keeps the name of the site.
 */
function allowsForeignOrigin(config: Config, origin: string): boolean {
  return config.ALLOWED_ORIGINS.includes(origin) || (config.NODE_ENV === 'development' && isLocalOrigin(origin));
}

/**
 * Whether pages of this origin may use cookies and open WebSockets: those of this server and those that
 * {@link allowsForeignOrigin} allows.
 *
 * If `PUBLIC_URL` is set, this server's own origin is exactly that, scheme included: a page over plain http that a man in
 * the middle has forged is another origin. Without it, the origin has to name the host that the request was sent to.
 */
export function allowsOrigin(config: Config, origin: string, host: string | undefined): boolean {
  if (allowsForeignOrigin(config, origin)) return true;
  if (config.PUBLIC_URL !== undefined && origin === new URL(config.PUBLIC_URL).origin) return true;
  const isPinned = config.NODE_ENV === 'production' && config.PUBLIC_URL !== undefined;
  return !isPinned && host !== undefined && (origin === `http://${host}` || origin === `https://${host}`);
}

/**
 * CORS headers for pages of other servers that may call the API; none for other pages. Yoga would answer those with the origin `null`, which
 * is what a sandboxed frame sends.
 */
function allowCrossOrigin(config: Config, request: Request) {
  const origin = request.headers.get('origin');
  if (origin === null || !allowsForeignOrigin(config, origin)) return false;
  return { origin, credentials: true };
}

/** Notes who pays for a request over HTTP, charges for its bytes, and lets it wait until its document may be parsed. */
function identifyPayers(
  findPayer: (transport: Transport) => Promise<Payer>,
  rates: Rates,
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

/** Executes an operation in a context. The first of the plugins: what they wrap around it is executed with the operation. */
const inContexts: Plugin = {
  onExecute({ executeFn, setExecuteFn }) {
    const run = executeFn as (args: ExecutionArgs) => unknown;
    setExecuteFn((args: ExecutionArgs) => run({ ...args, contextValue: contextOf(args.contextValue as Operation) }));
  },
};

/**
 * Executes each event of a subscription in a context of its own. A stream over HTTP ends with the session whose it is; over
 * WebSocket the socket does, with a code that tells the client what to do.
 */
const freshContexts = (
  ms: number,
  streams: ReturnType<typeof createStreamLimit>,
  mask: (error: unknown) => GraphQLError,
): Plugin => ({
  onSubscribe({ setSubscribeFn }) {
    setSubscribeFn(async (args: ExecutionArgs) => {
      const context = keptContext(args.contextValue as Operation);
      const { sharing, tracing, viewer } = context;
      let leave = () => {};
      try {
        if (viewer) leave = streams.enter(viewer.userId);
      } catch (error) {
        return { errors: [mask(error)] };
      }
      const results = await subscribe<Context>(
        { ...args, rootValue: undefined, contextValue: context },
        {
          fresh: freshContext,
          observe: observeViewer,
          watch(watched, onEnd) {
            const stopWatching = watchStream(watched, onEnd);
            return () => {
              stopWatching();
              leave();
            };
          },
          tally: tallyOf,
          sharing,
          execute(event) {
            const run = () => {
              const result = execute(event);
              return result instanceof Promise ? within(ms, result) : result;
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
        // After the arguments were checked, whose errors name the argument.
        checkStreamVariables(args.variableValues);
      } catch (error) {
        results.end();
        return { errors: [mask(error)] };
      }
      // What was looked up to begin with is kept by no stream.
      context.cache = {};
      // What the other plugins make of it waits for a promise of each result, which over WebSocket nobody needs.
      Object.assign(args.rootValue ?? {}, { stream: results });
      return results;
    });
  },
});

/** Operations stand in traces by their root field, which a client's name for them would not tell apart. */
function traceOperations(tracing: Tracing): Plugin {
  const trace = <Result>(args: ExecutionArgs, run: () => Result | Promise<Result>) => {
    const { params } = args.contextValue as { params?: { extensions?: Record<string, unknown> | null } };
    const { response } = args.contextValue as Partial<Transport>;
    // Over HTTP it comes as a header, and is the request's.
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
  const { origin } = event.rootValue as { origin?: { chatroomId?: string; seq?: number } | null };
  const place = typeof origin?.seq === 'number' ? { chatroomId: origin.chatroomId ?? '', seq: origin.seq } : null;
  return tracing.deliver(`deliver ${rootFieldOf(event.document, event.operationName)}`, place, async () => run());
}

function tallyOf({ counts, onGone }: Context): Tally {
  return onGone ? counts.sse : counts.websocket;
}

function watchStream(context: Context, onEnd: (reason: Error | null) => void): () => void {
  const { open, sessions, viewer, onGone } = context;
  const sse = onGone ? 1 : 0;
  open.streams += 1;
  open.sse += sse;
  const stopWatching = [
    // Over WebSocket the socket is watched, and its end is its streams' end.
    viewer && onGone ? sessions.watch(viewer, onEnd) : null,
    onGone?.(() => {
      onEnd(null);
    }),
  ];
  return () => {
    open.streams -= 1;
    open.sse -= sse;
    for (const stop of stopWatching) stop?.();
  };
}

/** Calls a function when a response has been closed, which may be already. Answers a function that ends it. */
function onClose(response: ServerResponse, listener: () => void): () => void {
  if (response.destroyed) queueMicrotask(listener);
  response.once('close', listener);
  return () => response.off('close', listener);
}

/** What does not validate is an error like any other. */
function maskValidation(mask: (error: unknown) => GraphQLError): Plugin {
  return {
    onValidate:
      () =>
      ({ result, setResult }) => {
        setResult(result.map(mask));
      },
  };
}

/** What Yoga answers for one operation, with its plugins around each step; its own types say `any`. */
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
