import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CloseCode } from 'graphql-ws';
import { authenticate } from '../auth/sessions.ts';
import type { Config } from '../core/config/settings.ts';
import type { ServerNode } from '../core/context.ts';
import { hasDemo, signInDemo } from './demo/demoSignIn.ts';
import { DEMO_ROOM } from './demo/demoIds.ts';
import { DEMO_PASSWORD, DEMO_PEOPLE } from './demo/people.ts';
import { buildSchema } from '../features/schema.ts';
import { graphiqlOptions } from '../graphql/graphiql.ts';
import { ChatError } from '../core/errors.ts';
import { allowsOrigin } from '../graphql/origins.ts';
import { clientOf, PATH, readCredentials, type RequestHead } from '../graphql/transport.ts';
import { createGraphQL, type GraphQL } from '../graphql/yoga.ts';
import { encodeId } from '../core/globalIds.ts';
import { createProxyWarning, subnetOf } from '../core/clientAddress.ts';
import { refusedHost } from '../core/hosts.ts';
import { BYTES_PER_POINT, type Payer } from '../platform/rateLimits/rateLimits.ts';
import { createSignedOutSockets, type SignedOutSocket, tooManyStreams } from '../platform/rateLimits/sockets.ts';
import { serveMetrics } from '../platform/observability/metrics.ts';
import { createClientErrorListener } from './clientErrors.ts';
import { createFileServer, FILES_PATH, type FileServer } from './files.ts';
import { serveIncomingWebhook } from './incomingWebhooks.ts';
import { createNode, type NodeOptions } from './node.ts';
import { createWebApp, type WebApp } from './webApp.ts';
import { createPipelining } from './pipelining.ts';
import { createReadiness } from './readiness.ts';
import { warmUp } from './warmUp.ts';
import { INCOMING_WEBHOOKS_PATH } from '../features/incomingWebhooks/incomingWebhooks.ts';
import { listOnlineFriends } from '../features/presence/presence.ts';
import { type Admission, serveWebSockets, TRY_AGAIN_LATER, type WebSocketServing } from './webSocketServer.ts';

/**
 * Timeouts for the arrival of a request's headers and of the whole request, and the interval at which they are checked,
 * in milliseconds.
 */
const REQUEST_TIMEOUTS = { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 5_000 };
/**
 * Idle timeout of a connection, in milliseconds. SSE streams write every 12 s, so an SSE stream is closed only if its
 * client does not read.
 */
const IDLE_TIMEOUT_MS = 30_000;

const API_HEADERS = new Map([
  ['cache-control', 'no-store'],
  ['x-content-type-options', 'nosniff'],
]);

/**
 * Close code for too many sockets of a user. Not 4409: in graphql-transport-ws, 4409 means a duplicate operation id,
 * and clients do not reconnect after it.
 */
const TOO_MANY_SOCKETS = 4420;

/** A running node with its HTTP server. */
export interface RunningServer {
  /** URL of the server, such as `http://localhost:4000`. */
  url: string;
  node: ServerNode;
  /**
   * Stops the server. Makes `/health/ready` respond with 503, closes sockets with 1012, finishes the requests in
   * flight, and releases all resources.
   *
   * @param spreadMs time over which the closing of sockets is spread, so that clients do not reconnect all at once
   */
  stop(spreadMs?: number): Promise<void>;
}

/** Starts one node. The database must already be migrated. */
export async function startServer(config: Config, options: NodeOptions): Promise<RunningServer> {
  const schema = buildSchema();
  const node = await createNode(config, options, schema);
  const graphql = createGraphQL(config, node, { schema, graphiql: () => openGraphiql(config, node) });
  const { yoga } = graphql;
  const page = createWebApp(undefined, node.files?.origin ?? null);
  const files = createFileServer(config, node);
  const readWriteFault = createReadiness(node.database);
  const inFlight = new Set<Promise<unknown>>();
  const warnOfProxies = createProxyWarning(config.TRUSTED_PROXIES, node.log);
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    warnOfProxies(request.headers);
    const finished = once(response, 'close');
    inFlight.add(finished);
    void finished.finally(() => inFlight.delete(finished));
    // Not parsed with `new URL`, which throws for some paths that a client can send.
    const [pathname = '/'] = (request.url ?? '/').split('?', 1);
    const refused = refusedHost(config, request.headers.host);
    const isApi = pathname === PATH || pathname.startsWith(INCOMING_WEBHOOKS_PATH);
    if (refused !== null && (isApi || pathname === '/metrics' || pathname.startsWith(FILES_PATH))) {
      response.writeHead(400, { 'content-type': 'text/plain' }).end(`${refused}\n`);
      return;
    }
    const serveApi = () => void yoga(request, response, { incoming: request, response });
    // Responses belong to one viewer, so no cache may store them. No browser may interpret them as a page or a script.
    if (pathname === PATH) response.setHeaders(API_HEADERS);
    if (pathname === PATH && node.tracing) node.tracing.serve(request, response, serveApi);
    else if (pathname === PATH) serveApi();
    else
      serveOther({ config, node, page, files, readWriteFault }, pathname, request, response).catch((error: unknown) => {
        // The path of an incoming webhook contains its token.
        const path = isApi ? INCOMING_WEBHOOKS_PATH : pathname;
        node.log.error({ err: error, pathname: path }, 'A request outside the API failed');
        if (!response.headersSent) {
          // Those of the response that failed would describe another body.
          for (const name of response.getHeaderNames()) response.removeHeader(name);
          response.writeHead(500, { 'content-type': 'text/plain' });
        }
        response.end('An unexpected error occurred. Try again.\n');
      });
  };
  const server = createServer(REQUEST_TIMEOUTS, createPipelining(handle));
  server.timeout = IDLE_TIMEOUT_MS;
  server.on('clientError', createClientErrorListener(files.uploading));
  server.on('upgrade', ({ headers }) => {
    warnOfProxies(headers);
  });
  const webSockets = serveWebSockets({ server, path: PATH, ...webSocketServing(config, node, graphql) });

  if (options.warmsUp) await warmUp(config, node, schema);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.PORT, config.HOST, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST}:${port}`,
    node,
    async stop(spreadMs = 0) {
      node.gauges.ready = false;
      // Requests are still accepted here, because load balancers may not have noticed yet that the node is not ready.
      await webSockets.close(spreadMs);
      const closed = new Promise<void>((resolve) =>
        server.close(() => {
          resolve();
        }),
      );
      // Ends the SSE streams, which never end by themselves.
      node.sessions.close();
      await Promise.all(inFlight);
      // Only idle keep-alive connections are left.
      server.closeAllConnections();
      await closed;
      await yoga.dispose();
      await node.close();
    },
  };
}

/** Returns the callbacks of the WebSocket server. Operations use the same pipeline as over HTTP. */
function webSocketServing(config: Config, node: ServerNode, graphql: GraphQL): WebSocketServing {
  const signedOutSockets = createSignedOutSockets(config.MAX_SIGNED_OUT_SOCKETS);
  const registrations = new WeakMap<RequestHead, SignedOutSocket>();
  /** Payers of signed-in sockets. Until a socket has signed in, its network pays. */
  const payers = new WeakMap<RequestHead, Payer>();
  const signedOutPayer = (incoming: RequestHead): Payer => ({
    viewer: null,
    service: null,
    client: clientOf(config, incoming),
  });

  function admitSignedOut(incoming: RequestHead): Admission {
    if (!registrations.get(incoming)?.admit())
      return {
        admitted: false,
        code: TRY_AGAIN_LATER,
        reason: 'Your network has too many signed-out sockets. Sign in over HTTP, or try again later.',
      };
    return {
      admitted: true,
      ack: {},
      watch(close) {
        const timer = setTimeout(() => {
          close(
            CloseCode.Unauthorized,
            'The socket was signed out for too long. Sign in and open a socket with the access token.',
          );
        }, config.SIGNED_OUT_SECONDS * 1_000);
        return () => {
          clearTimeout(timer);
        };
      },
    };
  }

  return {
    gauges: node.gauges,
    async refusal(incoming) {
      const { origin, host } = incoming.headers;
      if (refusedHost(config, host) !== null) return '400 Bad Request';
      // Clients that are not browsers send no Origin header.
      if (origin && !allowsOrigin(config, origin, host)) return '403 Forbidden';
      // The user is known only after `connection_init`, so the network is charged.
      return node.rateLimits.chargeCredential(signedOutPayer(incoming), 'handshake').then(() => null, statusOf);
    },
    register(incoming, evict) {
      const registration = signedOutSockets.add(subnetOf(clientOf(config, incoming).ipAddress), evict);
      registrations.set(incoming, registration);
      // Looked up, because a socket that has signed in does not retain its registration.
      return () => {
        registrations.get(incoming)?.remove();
      };
    },
    charge: (incoming, points) => node.rateLimits.charge(payers.get(incoming) ?? signedOutPayer(incoming), points),
    bytesPerPoint: BYTES_PER_POINT,
    maxSubscriptions: config.MAX_SUBSCRIPTIONS_PER_SOCKET,
    tooManySubscriptions: () =>
      tooManyStreams(
        `A socket has at most ${config.MAX_SUBSCRIPTIONS_PER_SOCKET} subscriptions. End one, or open another socket.`,
      ),
    maxMessageBytes: config.MAX_MESSAGE_KB * 1_024,
    mask: graphql.maskOnSocket,
    async admit(authorization, incoming) {
      const credentials = readCredentials(config, { authorization, incoming, response: null });
      const { viewer, service, authError } = await authenticate(
        node,
        credentials.authorization,
        false,
        clientOf(config, incoming),
      );
      if (authError) return { admitted: false, code: closeCodeOf(authError), reason: authError.message };
      if (!viewer && !service) return admitSignedOut(incoming);
      registrations.get(incoming)?.remove();
      registrations.delete(incoming);
      payers.set(incoming, { viewer, service, client: clientOf(config, incoming) });
      if (!viewer) return { admitted: true, ack: {}, watch: () => () => undefined };
      const unregister = await node.presence.register(viewer.userId, config.MAX_SOCKETS_PER_USER);
      if (!unregister)
        return { admitted: false, code: TOO_MANY_SOCKETS, reason: 'You have too many sockets open. Close one first.' };
      const friends = await listOnlineFriends(node, viewer.userId).catch((error: unknown) => {
        unregister();
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
            unregister();
          };
        },
      };
    },
    onWritten: node.tracing?.recordWrite,
    prepare: (authorization, incoming, payload) =>
      graphql.prepare({ authorization, incoming, response: null }, payload),
  };
}

/** Returns the status of a refused handshake: 429 for a client over its rate limit, 503 for any other failure. */
function statusOf(error: unknown): string {
  const isLimit = error instanceof ChatError && error.code === 'RATE_LIMITED';
  return isLimit ? '429 Too Many Requests' : '503 Service Unavailable';
}

/** Returns 4403 if the client may reconnect with a new access token, and 4401 if the user must sign in again. */
function closeCodeOf(reason: ChatError): number {
  return reason.code === 'TOKEN_EXPIRED' ? CloseCode.Forbidden : CloseCode.Unauthorized;
}

/** Serves requests outside the API: the chat page, and health checks and metrics for operators. */
async function serveOther(
  {
    config,
    node,
    page,
    files,
    readWriteFault,
  }: {
    config: Config;
    node: ServerNode;
    page: WebApp;
    files: FileServer;
    readWriteFault: () => Promise<string | null>;
  },
  pathname: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (pathname.startsWith(INCOMING_WEBHOOKS_PATH)) {
    await serveIncomingWebhook(config, node, request, response, pathname.slice(INCOMING_WEBHOOKS_PATH.length));
    return;
  }
  if (pathname.startsWith(FILES_PATH)) {
    await files.serve(request, response, pathname);
    return;
  }
  switch (pathname) {
    case '/health/live':
      response.writeHead(200, { 'content-type': 'text/plain' }).end('alive\n');
      return;
    case '/health/ready': {
      const fault = await readWriteFault();
      const reason = node.gauges.ready ? fault : 'The server is shutting down.';
      response.writeHead(reason === null ? 200 : 503, { 'content-type': 'text/plain' }).end(`${reason ?? 'ready'}\n`);
      return;
    }
    case '/metrics': {
      const { status, contentType, text } = await serveMetrics(config, node.metrics, request.headers.authorization);
      response.writeHead(status, { 'content-type': contentType }).end(text);
      return;
    }
    default: {
      const found = await page.respond({
        pathname,
        acceptEncoding: request.headers['accept-encoding'],
        ifNoneMatch: request.headers['if-none-match'],
        demo: pathname === '/' && config.NODE_ENV !== 'production' && (await hasDemo(node)),
      });
      if (found) response.writeHead(found.status, found.headers).end(found.body);
      else response.writeHead(404, { 'content-type': 'text/plain' }).end(`Not found. The API is at ${PATH}.\n`);
    }
  }
}

/**
 * Returns the options of the GraphiQL page. If demo data exists, creates a demo session for the page, except in
 * production.
 */
async function openGraphiql(config: Config, node: ServerNode) {
  const demo = config.NODE_ENV === 'production' ? null : await signInDemo(node);
  const [{ username }] = DEMO_PEOPLE;
  return graphiqlOptions({
    username,
    password: DEMO_PASSWORD,
    room: encodeId('Chatroom', DEMO_ROOM),
    accessToken: demo?.accessToken ?? null,
  });
}
