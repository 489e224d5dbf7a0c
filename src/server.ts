import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import type { DocumentNode, ExecutionArgs, GraphQLError, GraphQLSchema } from 'graphql';
import { CloseCode, type SubscribePayload } from 'graphql-ws';
import { createYoga, type Plugin } from 'graphql-yoga';
import { openCookieJar } from './auth/cookies.ts';
import { authenticate, originOf } from './auth/sessions.ts';
import type { Config } from './config.ts';
import { type Context, freshContext, observeViewer, type ServerNode } from './context.ts';
import { sql } from './database/database.ts';
import type { ChatError } from './errors.ts';
import { graphiqlOptions } from './graphiql.ts';
import { encodeId } from './ids.ts';
import { createErrorMask } from './mask.ts';
import { type Arrival, createContext, createNode, type NodeOptions } from './node.ts';
import { listOnlineFriends } from './presence/presence.ts';
import { subscribe } from './realtime/subscribe.ts';
import { type Operation, serveWebSockets, type WebSocketServing } from './realtime/websocket.ts';
import { buildSchema } from './schema.ts';

const PATH = '/graphql';
/** Not 4409, which the protocol uses for something else, and at which its client gives up. */
const TOO_MANY_SOCKETS = 4420;

export interface RunningServer {
  /** Where it listens, such as `http://localhost:4000`. */
  url: string;
  node: ServerNode;
  /**
   * Says that it is not ready any more, closes sockets with 1012, spread over so long, lets requests in flight finish, and
   * gives back everything it holds.
   */
  stop(spreadMs?: number): Promise<void>;
}

/** What a transport knows of an operation before GraphQL does. */
interface Transport {
  incoming: IncomingMessage;
  /** Null over WebSocket. */
  response: ServerResponse | null;
  /** What a WebSocket was opened with. */
  authorization?: unknown;
}

/** Starts one node on a database that is migrated already. */
export async function startServer(config: Config, options: NodeOptions): Promise<RunningServer> {
  const node = await createNode(config, options);
  const yoga = createGraphQL(config, node);
  const inFlight = new Set<Promise<unknown>>();
  const server = createServer((request, response) => {
    const finished = once(response, 'close');
    inFlight.add(finished);
    void finished.finally(() => inFlight.delete(finished));
    // Not by `new URL`, which throws at some paths that a client can send.
    const [pathname = '/'] = (request.url ?? '/').split('?', 1);
    if (pathname === PATH) void yoga(request, response, { incoming: request, response });
    else void answerOther(node, pathname, response);
  });
  const webSockets = serveWebSockets({ server, path: PATH, ...webSocketServing(config, node, yoga) });

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.PORT, config.HOST, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST}:${port}`,
    node,
    async stop(spreadMs = 0) {
      node.open.ready = false;
      // Requests are still taken meanwhile: whoever sends them has not heard yet.
      await webSockets.close(spreadMs);
      const closed = new Promise<void>((resolve) =>
        server.close(() => {
          resolve();
        }),
      );
      // Streams over SSE never end by themselves.
      node.sessions.close();
      await Promise.all(inFlight);
      // What is left are connections that clients keep for later.
      server.closeAllConnections();
      await closed;
      await yoga.dispose();
      await node.close();
    },
  };
}

function createGraphQL(config: Config, node: ServerNode) {
  const mask = createErrorMask(node.log);
  return createYoga<Transport, Context>({
    schema: buildSchema(),
    graphqlEndpoint: PATH,
    landingPage: false,
    batching: false,
    logging: false,
    cors: config.ALLOWED_ORIGINS.length > 0 ? { origin: config.ALLOWED_ORIGINS, credentials: true } : false,
    graphiql: config.NODE_ENV === 'production' ? false : () => graphiqlOptions(node),
    renderGraphiQL,
    maskedErrors: { maskError: mask },
    context: (transport) => createContext(node, arrivalOf(config, transport)),
    plugins: [freshContexts, maskValidation(mask)],
  });
}

/** Who asks: by the header or, where no other site's page can have sent them, by the cookies. */
function arrivalOf(config: Config, { incoming, response, authorization }: Transport): Arrival {
  const { headers, socket } = incoming;
  const secure = config.PUBLIC_URL?.startsWith('https:') ?? false;
  const jar = openCookieJar(headers.cookie, { path: PATH, secure }, (cookie) => {
    response?.appendHeader('set-cookie', cookie);
  });
  const trusted = isOwn(config, incoming);
  const cookieToken = trusted && jar.accessToken !== null ? `Bearer ${jar.accessToken}` : undefined;
  return {
    authorization: authorization ?? headers.authorization ?? cookieToken,
    origin: originOf(socket.remoteAddress, headers['user-agent']),
    onGone: response && ((listener) => onClose(response, listener)),
    cookies: response && (trusted ? jar : { ...jar, refreshToken: null, mayKeep: false }),
  };
}

/**
 * Whether a request comes from a page of ours, or from no page at all. A browser says where a page is from in each POST
 * and each WebSocket; where it does not, a content type that no form can send shows that it has asked us before (CORS).
 */
function isOwn(config: Config, { headers, method }: IncomingMessage): boolean {
  if (headers.origin !== undefined) return allowsOrigin(config, headers.origin, headers.host);
  return method === 'GET' || (headers['content-type']?.startsWith('application/json') ?? false);
}

function allowsOrigin(config: Config, origin: string, host: string | undefined): boolean {
  if (origin.endsWith(`//${host ?? ''}`) || config.ALLOWED_ORIGINS.includes(origin)) return true;
  // A proxy may call this server by another name than its pages do.
  return config.PUBLIC_URL !== undefined && origin === new URL(config.PUBLIC_URL).origin;
}

/**
 * Executes each event of a subscription in a context of its own. A stream over HTTP ends with the session whose it is; over
 * WebSocket the socket does, with a code that tells the client what to do.
 */
const freshContexts: Plugin = {
  onSubscribe({ setSubscribeFn }) {
    setSubscribeFn((args: ExecutionArgs) =>
      subscribe<Context>(args, { ...streams, sharing: (args.contextValue as Context).sharing }),
    );
  },
};

const streams = { fresh: freshContext, observe: observeViewer, watch: watchStream };

function watchStream(context: Context, onEnd: (reason: Error | null) => void): () => void {
  const { open, sessions, viewer, onGone } = context;
  open.streams += 1;
  const stopWatching = [
    // Over WebSocket the socket is watched, and its end is its streams' end.
    viewer && onGone ? sessions.watch(viewer, onEnd) : null,
    onGone?.(() => {
      onEnd(null);
    }),
  ];
  return () => {
    open.streams -= 1;
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
  contextFactory: () => Promise<Context>;
  execute: Operation['rootValue']['execute'];
  subscribe: Operation['rootValue']['subscribe'];
}

/** Operations over WebSocket go through the same pipeline as over HTTP. */
function webSocketServing(config: Config, node: ServerNode, yoga: ReturnType<typeof createGraphQL>): WebSocketServing {
  return {
    allowsOrigin: (origin, host) => allowsOrigin(config, origin, host),
    mask: createErrorMask(node.log),
    async admit(authorization, incoming) {
      const arrival = arrivalOf(config, { authorization, incoming, response: null });
      const { viewer, rejected } = await authenticate(node, arrival.authorization);
      if (rejected) return { admitted: false, code: closeCodeOf(rejected), reason: rejected.message };
      if (!viewer) return { admitted: true, ack: {}, watch: () => () => undefined };
      const leave = await node.presence.enter(viewer.userId, config.MAX_SOCKETS_PER_USER);
      if (!leave) return { admitted: false, code: TOO_MANY_SOCKETS, reason: 'You have too many connections open.' };
      const friends = await listOnlineFriends(node, viewer.userId).catch((error: unknown) => {
        leave();
        throw error;
      });
      return {
        admitted: true,
        ack: { onlineFriends: friends.map(({ id, ...names }) => ({ id: encodeId('User', id), ...names })) },
        watch(close) {
          const stopWatching = node.sessions.watch(viewer, (reason) => {
            if (reason) close(closeCodeOf(reason), reason.message);
          });
          return () => {
            stopWatching();
            leave();
          };
        },
      };
    },
    async prepare(authorization: unknown, incoming: IncomingMessage, params: SubscribePayload) {
      const transport: Transport = { authorization, incoming, response: null };
      const pipeline = yoga.getEnveloped({ ...transport, params } as never) as Pipeline;
      const document = pipeline.parse(params.query);
      const errors = pipeline.validate(pipeline.schema, document);
      if (errors.length > 0) return errors;
      return {
        schema: pipeline.schema,
        document,
        operationName: params.operationName,
        variableValues: params.variables,
        contextValue: await pipeline.contextFactory(),
        rootValue: { execute: pipeline.execute, subscribe: pipeline.subscribe },
      };
    },
  };
}

/** A client may come back with another token after 4403, and gives up after 4401. */
function closeCodeOf(reason: ChatError): number {
  return reason.code === 'TOKEN_EXPIRED' ? CloseCode.Forbidden : CloseCode.Unauthorized;
}

/** What is not GraphQL: whether the node lives and can serve, for those who run it. */
async function answerOther(node: ServerNode, pathname: string, response: ServerResponse): Promise<void> {
  switch (pathname) {
    case '/':
      response.writeHead(302, { location: PATH }).end();
      return;
    case '/health/live':
      response.writeHead(200, { 'content-type': 'text/plain' }).end('alive\n');
      return;
    case '/health/ready': {
      const answers = await node.database.query(sql`SELECT 1`).then(
        () => true,
        () => false,
      );
      const reason = !node.open.ready ? 'It is stopping.' : answers ? null : 'The database does not answer.';
      response.writeHead(reason === null ? 200 : 503, { 'content-type': 'text/plain' }).end(`${reason ?? 'ready'}\n`);
      return;
    }
    default:
      response.writeHead(404, { 'content-type': 'text/plain' }).end(`Nothing is here. The API is at ${PATH}.\n`);
  }
}
