import type { IncomingMessage, Server } from 'node:http';
import type { ExecutionArgs, GraphQLError } from 'graphql';
import type { ServerOptions, SubscribePayload } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

/** Who is at the other end, as the credential shows that it was opened with. */
export type Admission =
  | {
      admitted: true;
      /** What the client is told with `connection_ack`. */
      ack: Record<string, unknown>;
      /**
       * Watches over the socket, until the function that it answers is called: when the socket has closed.
       *
       * @param close called when the credential may do nothing more
       */
      watch: (close: (code: number, reason: string) => void) => () => void;
    }
  | { admitted: false; code: number; reason: string };

/** What a socket does, told by whoever knows GraphQL and accounts. */
export interface WebSocketServing {
  /** Whether a page of this origin may connect; programs that are no browsers send none. */
  allowsOrigin: (origin: string, host: string | undefined) => boolean;
  /** Decides on `connectionParams.authorization`, or on the request's cookies. */
  admit: (authorization: unknown, request: IncomingMessage) => Promise<Admission>;
  /**
   * Parses and validates an operation and gives it a context, as over HTTP.
   *
   * Its `rootValue` carries the functions that execute it.
   */
  prepare: (
    authorization: unknown,
    request: IncomingMessage,
    payload: SubscribePayload,
  ) => Promise<Operation | readonly GraphQLError[]>;
  /** The shape in which clients see a failure. */
  mask: (error: unknown) => GraphQLError;
}

/** An operation, and in `rootValue` how to run it. */
export type Operation = ExecutionArgs & { rootValue: { execute: Run; subscribe: Run } };
type Run = (args: ExecutionArgs) => ReturnType<NonNullable<ServerOptions['execute']>>;

/** The largest frame that a client may send, in bytes. */
const MAX_PAYLOAD = 64 * 1024;
/** Clients take 1012 as "come back": the server restarts. */
const SERVICE_RESTART = 1012;
/** And 1013 as "come back later". At 4500, the library's own for what is thrown, they would give up. */
const TRY_AGAIN_LATER = 1013;

/** Serves GraphQL over WebSocket (graphql-transport-ws) on the HTTP server's port. */
export function serveWebSockets(options: WebSocketServing & { server: Server; path: string }): {
  count(): number;
  close(): Promise<void>;
} {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_PAYLOAD, perMessageDeflate: false });

  options.server.on('upgrade', (request, socket, head) => {
    // The HTTP server has let go of the socket: an error that nobody hears would end the process.
    socket.on('error', () => socket.destroy());
    const [pathname] = (request.url ?? '/').split('?', 1);
    const { origin, host } = request.headers;
    const refusal =
      pathname !== options.path
        ? '404 Not Found'
        : origin && !options.allowsOrigin(origin, host)
          ? '403 Forbidden'
          : null;
    if (refusal)
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
    else sockets.handleUpgrade(request, socket, head, (webSocket) => sockets.emit('connection', webSocket, request));
  });

  const graphql = useServer(
    {
      execute: (args) => (args as Operation).rootValue.execute(args),
      subscribe: (args) => (args as Operation).rootValue.subscribe(args),
      async onConnect({ connectionParams, extra }) {
        const { socket, request } = extra;
        const admission = await options
          .admit(connectionParams?.['authorization'], request)
          .catch((error: unknown): Admission => ({
            ...{ admitted: false, code: TRY_AGAIN_LATER },
            reason: options.mask(error).message,
          }));
        if (!admission.admitted) {
          socket.close(admission.code, admission.reason);
          // Never answered: the socket is closing, and the library would close it with its own code.
          return new Promise<never>(() => undefined);
        }
        const stopWatching = admission.watch((code, reason) => {
          socket.close(code, reason);
        });
        // Whoever hung up before they were admitted is gone already.
        if (socket.readyState === socket.OPEN) socket.once('close', stopWatching);
        else stopWatching();
        return admission.ack;
      },
      async onSubscribe({ connectionParams, extra }, _id, payload) {
        try {
          return await options.prepare(connectionParams?.['authorization'], extra.request, payload);
        } catch (error) {
          return [options.mask(error)];
        }
      },
      onError: (_context, _id, _payload, errors) => errors.map((error) => options.mask(error).toJSON()),
    },
    sockets,
  );

  return {
    count: () => sockets.clients.size,
    async close() {
      for (const socket of sockets.clients) socket.close(SERVICE_RESTART, 'The server restarts. Come back.');
      await graphql.dispose();
    },
  };
}
