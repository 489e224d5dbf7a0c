import type { IncomingMessage, Server } from 'node:http';
import type { ExecutionArgs, GraphQLError } from 'graphql';
import { CloseCode, type ServerOptions, type SubscribePayload } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { type WebSocket, WebSocketServer } from 'ws';

/** Who is at the other end, as the credential shows that it was opened with. */
export type Admission =
  | { admitted: true; /** When the credential runs out, if it does. */ expiresAt: Date | undefined }
  | { admitted: false; /** Whether a new credential would help. */ retry: boolean; reason: string };

/** What a socket does, told by whoever knows GraphQL and accounts. */
export interface WebSocketServing {
  /** Whether a page of this origin may connect; programs that are no browsers send none. */
  allowsOrigin: (origin: string, host: string | undefined) => boolean;
  /** Decides on `connectionParams.authorization`. */
  admit: (authorization: unknown) => Promise<Admission>;
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
/** A longer timer overflows and fires at once; tokens live minutes. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Serves GraphQL over WebSocket (graphql-transport-ws) on the HTTP server's port. */
export function serveWebSockets(options: WebSocketServing & { server: Server; path: string }): {
  count(): number;
  close(): Promise<void>;
} {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_PAYLOAD, perMessageDeflate: false });

  options.server.on('upgrade', (request, socket, head) => {
    const [pathname] = (request.url ?? '/').split('?', 1);
    const { origin, host } = request.headers;
    const refusal =
      pathname !== options.path
        ? '404 Not Found'
        : origin && !options.allowsOrigin(origin, host)
          ? '403 Forbidden'
          : null;
    if (refusal) socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    else sockets.handleUpgrade(request, socket, head, (webSocket) => sockets.emit('connection', webSocket, request));
  });

  const graphql = useServer(
    {
      execute: (args) => (args as Operation).rootValue.execute(args),
      subscribe: (args) => (args as Operation).rootValue.subscribe(args),
      async onConnect({ connectionParams, extra }) {
        const admission = await options.admit(connectionParams?.['authorization']);
        if (!admission.admitted) {
          extra.socket.close(admission.retry ? CloseCode.Forbidden : CloseCode.Unauthorized, admission.reason);
          // Never answered: the socket is closing, and the library would close it with its own code.
          return new Promise<never>(() => undefined);
        }
        closeAt(extra.socket, admission.expiresAt);
        return true;
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

function closeAt(socket: WebSocket, expiresAt: Date | undefined): void {
  if (!expiresAt) return;
  const timer = setTimeout(
    () => {
      socket.close(CloseCode.Forbidden, 'The access token has run out. Come back with a new one.');
    },
    Math.min(expiresAt.getTime() - Date.now(), LONGEST_TIMER_MS),
  );
  socket.once('close', () => {
    clearTimeout(timer);
  });
}
