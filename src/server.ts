import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CloseCode } from 'graphql-ws';
import { authenticate } from './auth/sessions.ts';
import type { Config } from './config.ts';
import type { ServerNode } from './context.ts';
import { hasDemo } from './demo/seed.ts';
import { ChatError } from './errors.ts';
import { allowsOrigin, arrivalOf, createGraphQL, type GraphQL, PATH, whereFrom } from './graphql.ts';
import { encodeId } from './ids.ts';
import { createProxyWarning, networkOf } from './limits/address.ts';
import { refusedHost } from './limits/hosts.ts';
import { BYTES_PER_POINT, type Payer } from './limits/rates.ts';
import { createSignedOutSockets, type Seat, tooManyStreams } from './limits/sockets.ts';
import { answerScrape } from './metrics.ts';
import { createNode, type NodeOptions } from './node.ts';
import { createPage, type Page } from './page.ts';
import { createPipelining } from './pipelining.ts';
import { createReadiness } from './readiness.ts';
import { listOnlineFriends } from './presence/presence.ts';
import { type Admission, serveWebSockets, TRY_AGAIN_LATER, type WebSocketServing } from './realtime/websocket.ts';

/** How long a request may take to arrive, in milliseconds: its head, and all of it. */
const TIMES = { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 5_000 };
/** A connection on which nothing moves for 30 s is closed. Streams over SSE write every 12 s, unless nobody reads. */
const MAX_STALL_MS = 30_000;

const API_HEADERS = new Map([
  ['cache-control', 'no-store'],
  ['x-content-type-options', 'nosniff'],
]);

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

/** Starts one node on a database that is migrated already. */
export async function startServer(config: Config, options: NodeOptions): Promise<RunningServer> {
  const node = await createNode(config, options);
  const graphql = createGraphQL(config, node);
  const { yoga } = graphql;
  const page = createPage();
  const readWriteFault = createReadiness(node.database);
  const inFlight = new Set<Promise<unknown>>();
  const warnOfProxies = createProxyWarning(config.TRUSTED_PROXIES, node.log);
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    warnOfProxies(request.headers);
    const finished = once(response, 'close');
    inFlight.add(finished);
    void finished.finally(() => inFlight.delete(finished));
    // Not by `new URL`, which throws at some paths that a client can send.
    const [pathname = '/'] = (request.url ?? '/').split('?', 1);
    const refused = refusedHost(config, request.headers.host);
    if (refused !== null && (pathname === PATH || pathname === '/metrics')) {
      response.writeHead(400, { 'content-type': 'text/plain' }).end(`${refused}\n`);
      return;
    }
    const answer = () => void yoga(request, response, { incoming: request, response });
    // Answers belong to one viewer: no cache keeps them, and no browser takes them for a page or a script.
    if (pathname === PATH) response.setHeaders(API_HEADERS);
    if (pathname === PATH && node.tracing) node.tracing.serve(request, response, answer);
    else if (pathname === PATH) answer();
    else
      answerOther({ config, node, page, readWriteFault }, pathname, request, response).catch((error: unknown) => {
        node.log.error({ err: error, pathname }, 'A request outside the API failed');
        if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
        response.end('Something went wrong on our side. Try again.\n');
      });
  };
  const server = createServer(TIMES, createPipelining(handle));
  server.timeout = MAX_STALL_MS;
  server.on('upgrade', ({ headers }) => {
    warnOfProxies(headers);
  });
  const webSockets = serveWebSockets({ server, path: PATH, ...webSocketServing(config, node, graphql) });

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

/** Operations over WebSocket go through the same pipeline as over HTTP. */
function webSocketServing(config: Config, node: ServerNode, graphql: GraphQL): WebSocketServing {
  const signedOut = createSignedOutSockets(config.MAX_SIGNED_OUT_SOCKETS);
  const seats = new WeakMap<IncomingMessage, Seat>();
  /** Who pays for the messages of a socket: its network, until it has signed in. */
  const payers = new WeakMap<IncomingMessage, Payer>();
  const strangerOf = (incoming: IncomingMessage): Payer => ({
    ...{ viewer: null, service: null, origin: whereFrom(config, incoming) },
  });

  function admitSignedOut(incoming: IncomingMessage): Admission {
    if (!seats.get(incoming)?.stay())
      return {
        ...{ admitted: false, code: TRY_AGAIN_LATER },
        reason: 'Your network has too many signed-out sockets. Sign in over HTTP, or try again.',
      };
    return {
      admitted: true,
      ack: {},
      watch(close) {
        const timer = setTimeout(() => {
          close(CloseCode.Unauthorized, 'Sign in, and open a socket with the access token.');
        }, config.SIGNED_OUT_SECONDS * 1_000);
        return () => {
          clearTimeout(timer);
        };
      },
    };
  }

  return {
    open: node.open,
    async refusal(incoming) {
      const { origin, host } = incoming.headers;
      if (refusedHost(config, host) !== null) return '400 Bad Request';
      // Programs that are no browsers send none.
      if (origin && !allowsOrigin(config, origin, host)) return '403 Forbidden';
      // The user is known only after `connection_init`, so the network is charged.
      return node.rates.chargeCredential(strangerOf(incoming), 'handshake').then(() => null, statusOf);
    },
    enter(incoming, cut) {
      const seat = signedOut.enter(networkOf(whereFrom(config, incoming).ipAddress), cut);
      seats.set(incoming, seat);
      return () => {
        seat.leave();
      };
    },
    charge: (incoming, points) => node.rates.charge(payers.get(incoming) ?? strangerOf(incoming), points),
    bytesPerPoint: BYTES_PER_POINT,
    maxSubscriptions: config.MAX_SUBSCRIPTIONS_PER_SOCKET,
    tooManySubscriptions: () =>
      tooManyStreams(`A socket has at most ${config.MAX_SUBSCRIPTIONS_PER_SOCKET} subscriptions.`),
    maxMessageBytes: config.MAX_MESSAGE_KB * 1_024,
    mask: graphql.maskOnSocket,
    async admit(authorization, incoming) {
      const arrival = arrivalOf(config, { authorization, incoming, response: null });
      const { viewer, service, rejected } = await authenticate(node, arrival.authorization);
      if (rejected) return { admitted: false, code: closeCodeOf(rejected), reason: rejected.message };
      if (!viewer && !service) return admitSignedOut(incoming);
      seats.get(incoming)?.leave();
      payers.set(incoming, { viewer, service, origin: whereFrom(config, incoming) });
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
    onWritten: node.tracing?.written,
    prepare: (authorization, incoming, payload) =>
      graphql.prepare({ authorization, incoming, response: null }, payload),
  };
}

/** The status of a refused handshake. Only a client over its limit is told that it sent too much. */
function statusOf(error: unknown): string {
  const isLimit = error instanceof ChatError && error.code === 'RATE_LIMITED';
  return isLimit ? '429 Too Many Requests' : '503 Service Unavailable';
}

/** A client may come back with another token after 4403, and gives up after 4401. */
function closeCodeOf(reason: ChatError): number {
  return reason.code === 'TOKEN_EXPIRED' ? CloseCode.Forbidden : CloseCode.Unauthorized;
}

/** What is not GraphQL: the page to chat in, and whether the node lives and can serve, for those who run it. */
async function answerOther(
  {
    config,
    node,
    page,
    readWriteFault,
  }: { config: Config; node: ServerNode; page: Page; readWriteFault: () => Promise<string | null> },
  pathname: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  switch (pathname) {
    case '/health/live':
      response.writeHead(200, { 'content-type': 'text/plain' }).end('alive\n');
      return;
    case '/health/ready': {
      const fault = await readWriteFault();
      const reason = node.open.ready ? fault : 'It is stopping.';
      response.writeHead(reason === null ? 200 : 503, { 'content-type': 'text/plain' }).end(`${reason ?? 'ready'}\n`);
      return;
    }
    case '/metrics': {
      const { status, contentType, text } = await answerScrape(config, node.metrics, request.headers.authorization);
      response.writeHead(status, { 'content-type': contentType }).end(text);
      return;
    }
    default: {
      const answer = await page.answer({
        pathname,
        acceptEncoding: request.headers['accept-encoding'],
        ifNoneMatch: request.headers['if-none-match'],
        demo: pathname === '/' && config.NODE_ENV !== 'production' && (await hasDemo(node)),
      });
      if (answer) response.writeHead(answer.status, answer.headers).end(answer.body);
      else response.writeHead(404, { 'content-type': 'text/plain' }).end(`Nothing is here. The API is at ${PATH}.\n`);
    }
  }
}
