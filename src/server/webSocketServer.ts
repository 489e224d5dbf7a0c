import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type ExecutionArgs, getOperationAST, type GraphQLError, OperationTypeNode } from 'graphql';
import { CloseCode, type Context, handleProtocols, makeServer, type SubscribePayload } from 'graphql-ws';
import pLimit, { type LimitFunction } from 'p-limit';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Outcome } from '../core/context.ts';
import { SocketReader } from './socketReader.ts';
import { keepAlive } from './keepAlive.ts';
import { SocketWriter } from './socketWriter.ts';
import type { RequestHead } from '../graphql/transport.ts';
import type { Prepared, Run } from '../graphql/yoga.ts';
import type { Source } from '../delivery/source.ts';
import { FrameWriter, type FrameWriting, toBytes } from './frameWriter.ts';

/** Decision whether to admit a socket, based on the credential in its `connection_init` message or its cookies. */
export type Admission =
  | {
      admitted: true;
      /** Payload of `connection_ack`. */
      ack: Record<string, unknown>;
      /**
       * Watches the credential of the socket.
       *
       * @param close called when the credential is no longer valid
       * @returns a function that stops watching, to call when the socket has closed
       */
      watch: (close: (code: number, reason: string) => void) => () => void;
    }
  | { admitted: false; code: number; reason: string };

/** Callbacks and limits of the WebSocket server. They keep this file independent of accounts and of the schema. */
export interface WebSocketServing {
  /** Gauges of the open sockets, and of the subscriptions that wait for their socket to drain. */
  gauges: { sockets: number; backpressured: number };
  /** Returns the HTTP status that refuses a handshake, such as `403 Forbidden`. Null to accept it. */
  refusal: (request: RequestHead) => Promise<string | null>;
  /**
   * Registers a socket whose client is not authenticated yet.
   *
   * @param evict terminates the connection; called when a newer socket of the same network replaces this socket
   * @returns a function to call when the socket has closed
   */
  register: (request: RequestHead, evict: () => void) => () => void;
  /** Decides whether to admit a socket, based on `connectionParams.authorization` or on the request's cookies. */
  admit: (authorization: unknown, request: RequestHead) => Promise<Admission>;
  /**
   * Parses and validates an operation and creates its context, as over HTTP. Returns the operation or its errors. The
   * `rootValue` of the operation contains the functions that execute it.
   */
  prepare: (
    authorization: unknown,
    request: RequestHead,
    payload: SubscribePayload,
  ) => Promise<Prepared | readonly GraphQLError[]>;
  /**
   * Charges a client for its messages.
   *
   * @throws an error for a client that sends too many messages
   */
  charge: (request: RequestHead, points: number) => Promise<void>;
  /** Number of message bytes that cost a client one rate limit point. */
  bytesPerPoint: number;
  /** Maximum number of open subscriptions per socket. */
  maxSubscriptions: number;
  /** Creates the error for a subscription above `maxSubscriptions`. */
  tooManySubscriptions: () => unknown;
  /** Maximum size of a message from a client, in bytes. A larger message closes the socket with 1009. */
  maxMessageBytes: number;
  /** Called for each result of a subscription that is written. */
  onWritten?: ((result: object) => void) | undefined;
  /** Converts a failure into the error that clients see. */
  mask: (error: unknown) => GraphQLError;
}

/** Arguments of an operation. `rootValue` also contains the state of the socket and the id of the operation. */
type SocketOperation = ExecutionArgs & {
  rootValue: Prepared['rootValue'] & { client: Client; id: string };
};
/** The state that graphql-ws keeps of a socket. */
type Client = Context<Record<string, unknown>, Connected>;

/** State of one socket. */
interface Connected {
  socket: WebSocket;
  request: RequestHead;
  /** The TCP connection of the socket. */
  connection: Socket;
  writer: SocketWriter;
  reader: SocketReader | null;
  /** Limits how many operations of the socket are executed or set up at the same time. Null while there are none. */
  executing: LimitFunction | null;
  /** Number of subscriptions that are open or being set up. */
  subscriptions: number;
}

/**
 * Maximum number of fragments of a message, and of network chunks in which the message arrives. Each fragment or chunk
 * uses some hundred bytes of memory until the message is complete.
 */
const MAX_PARTS = 4_096;
/** Timeout of a close frame from the client, in milliseconds, after which the connection is terminated. */
const CLOSE_TIMEOUT_MS = 5_000;
/** Maximum number of operations of one socket that run at once. Each result stays in memory until it is written. */
const MAX_EXECUTING = 8;
/**
 * Maximum payload of a ping, in bytes. Limited because the pong repeats the payload. A larger payload closes the socket
 * with 4400.
 */
const MAX_PING_PAYLOAD_BYTES = 1_024;
/**
 * Maximum length of an operation id, in characters. Limited because each message of the operation repeats the id.
 * Clients use 36 characters.
 */
const MAX_ID_LENGTH = 256;
/** Close code for "the server restarts". Clients reconnect. */
const SERVICE_RESTART = 1012;
const RESTART_REASON = 'The server is restarting. Reconnect.';
/** Close code for "try again later". */
export const TRY_AGAIN_LATER = 1013;
/**
 * How long a socket stays open for the results of its running operations after its session has ended, or when the server
 * stops, in milliseconds.
 */
const RESULT_TIMEOUT_MS = 500;
/**
 * Replaces `RESULT_TIMEOUT_MS` for a socket whose own operation ends the session, in milliseconds. Longer, because
 * `deleteAccount` takes up to 5 s and one more statement.
 */
const LAST_RESULT_TIMEOUT_MS = 10_000;
/**
 * How long a shutdown waits for close frames from clients, in milliseconds. Then the remaining connections are
 * terminated.
 */
const SHUTDOWN_CLOSE_TIMEOUT_MS = 3_000;

/**
 * Returns a promise that never resolves. Returned to graphql-ws for a stream that it does not write itself, and while a
 * socket is closing, because any result would make graphql-ws close the socket with its own code.
 */
const never = () => new Promise<never>(() => undefined);

function destroy(this: Duplex): void {
  this.destroy();
}

function ignore(): void {
  // Called for errors that need no handling.
}

/** Serves GraphQL over WebSocket (graphql-transport-ws) on the port of the HTTP server. */
export function serveWebSockets(options: WebSocketServing & { server: Server; path: string }): {
  /** Closes all sockets with 1012, spread over `spreadMs`, so that clients do not all reconnect at once. */
  close(spreadMs: number): Promise<void>;
} {
  const sockets = new WebSocketServer({
    ...{ noServer: true, handleProtocols, perMessageDeflate: false, maxPayload: options.maxMessageBytes },
    ...{ maxFragments: MAX_PARTS, maxBufferedChunks: MAX_PARTS, closeTimeout: CLOSE_TIMEOUT_MS },
  });

  options.server.on('upgrade', (request, socket, head) => {
    // The HTTP server no longer handles errors of this socket, and an unhandled error would end the process.
    socket.on('error', destroy);
    const [pathname] = (request.url ?? '/').split('?', 1);
    const refused = pathname === options.path ? options.refusal(request) : Promise.resolve('404 Not Found');
    void refused.then((status) => {
      if (status === null)
        sockets.handleUpgrade(request, socket, head, (webSocket) => sockets.emit('connection', webSocket, request));
      else socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
    });
  });

  const serialized = new WeakMap<object, string>();
  /** Serializes a result once, because many sockets may receive it. */
  function serialize(result: object): string {
    const text = serialized.get(result) ?? toBytes(JSON.stringify(result));
    serialized.set(result, text);
    return text;
  }

  const writing: FrameWriting = { gauges: options.gauges, onWritten: options.onWritten, serialize };

  /** Running operations by socket. */
  const running = new WeakMap<WebSocket, Set<{ result: Promise<unknown>; outcome: Outcome }>>();
  async function executeOnSocket(args: SocketOperation): Promise<Awaited<ReturnType<Run>>> {
    const { execute, outcome, client } = args.rootValue;
    const connected = client.extra;
    const { socket, writer } = connected;
    const operations = running.get(socket) ?? new Set();
    running.set(socket, operations);
    const result = executeLimited(connected, async () => {
      await writable(writer);
      const executed = await execute(args);
      if (outcome.isCharged) connected.reader?.credit();
      // Waits again before returning: graphql-ws serializes the result on return, and earlier results must be written
      // first.
      await writable(writer);
      return executed;
    });
    const operation = { result, outcome };
    operations.add(operation);
    return result.finally(() => operations.delete(operation));
  }
  /**
   * Closes a socket when its running operations have ended, or after a timeout. A client that ends its own session
   * therefore receives the result before the socket closes.
   */
  async function closeAfterResults(socket: WebSocket, code: number, reason: string): Promise<void> {
    const operations = [...(running.get(socket) ?? [])];
    const settled = Promise.allSettled(operations.map(({ result }) => result)).then(() => setImmediate());
    const ms = operations.some(({ outcome }) => outcome.endsSession) ? LAST_RESULT_TIMEOUT_MS : RESULT_TIMEOUT_MS;
    await Promise.race([settled, setTimeout(ms, undefined, { ref: false })]);
    socket.close(code, reason);
  }

  /**
   * Writes the results of a subscription. graphql-ws does not receive the stream, because it would retain the message of
   * the client and a chain of promises until the stream ends, which takes 2.3 KB. It only ends the stream, which it finds
   * in `client.subscriptions`.
   */
  function startStream(client: Client, id: string, stream: Source<object>): void {
    const connected = client.extra;
    const frames = new FrameWriter(stream, connected, id, writing, (error) => {
      connected.subscriptions -= 1;
      void endOperation(client, id, frames, error);
    });
    connected.reader?.exclude();
    if (id in client.subscriptions) {
      client.subscriptions[id] = frames;
      frames.start();
    }
    // The client has ended the operation, or has closed the socket, during the setup.
    else void frames.return();
  }

  /** Sends `complete`, or the error with which a stream has failed, unless the client has ended the operation. */
  async function endOperation(client: Client, id: string, frames: FrameWriter, error: Error | null): Promise<void> {
    const { socket, writer } = client.extra;
    if (error) await writable(writer);
    if (client.subscriptions[id] !== frames) return;
    const message = error ? { id, type: 'error', payload: [options.mask(error)] } : { id, type: 'complete' };
    socket.send(JSON.stringify(message));
    Reflect.deleteProperty(client.subscriptions, id);
  }

  const graphql = makeServer<Record<string, unknown>, Connected>({
    execute: (args) => executeOnSocket(args as SocketOperation),
    async subscribe(args) {
      const { rootValue } = args as SocketOperation;
      const { client, id } = rootValue;
      const connected = client.extra;
      let results: Awaited<ReturnType<Run>>;
      try {
        results = await executeLimited(connected, async () => {
          await writable(connected.writer);
          return rootValue.subscribe(args);
        });
      } catch (error) {
        connected.subscriptions -= 1;
        throw error;
      }
      if (!rootValue.stream) {
        connected.subscriptions -= 1;
        return results;
      }
      startStream(client, id, rootValue.stream);
      return never();
    },
    onPing({ extra: { socket } }, payload) {
      if (payload && Buffer.byteLength(JSON.stringify(payload)) > MAX_PING_PAYLOAD_BYTES)
        socket.close(CloseCode.BadRequest, 'The payload of a ping has at most 1 KB.');
    },
    jsonMessageReviver: refuseServersMessages,
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
        return never();
      }
      const stopWatching = admission.watch((code, reason) => void closeAfterResults(socket, code, reason));
      // The client may have disconnected before it was admitted.
      if (socket.readyState === socket.OPEN) socket.on('close', stopWatching);
      else stopWatching();
      return admission.ack;
    },
    async onSubscribe(client, id, payload) {
      const { connectionParams, extra } = client;
      if (id.length > MAX_ID_LENGTH) {
        extra.socket.close(CloseCode.BadRequest, `The id of an operation has at most ${MAX_ID_LENGTH} characters.`);
        return never();
      }
      try {
        const operation = await options.prepare(connectionParams?.['authorization'], extra.request, payload);
        if (!('document' in operation)) return operation;
        if (
          getOperationAST(operation.document, operation.operationName)?.operation === OperationTypeNode.SUBSCRIPTION
        ) {
          if (extra.subscriptions >= options.maxSubscriptions) throw options.tooManySubscriptions();
          extra.subscriptions += 1;
        }
        Object.assign(operation.rootValue, { client, id });
        return operation;
      } catch (error) {
        return [options.mask(error)];
      }
    },
    async onError({ extra }, _id, _payload, errors) {
      await writable(extra.writer);
      return errors.map((error) => options.mask(error).toJSON());
    },
  });

  sockets.on('connection', (socket, { headers, method, socket: connection }) => {
    // Not the whole request, which takes 1 KB as long as the socket is open.
    const request: RequestHead = { headers, method, socket: connection };
    const writer = new SocketWriter(connection);
    // Without a spread, which would give each socket a hidden class of its own.
    const connected: Connected = {
      socket,
      request,
      connection,
      writer,
      reader: null,
      executing: null,
      subscriptions: 0,
    };
    const closed = graphql.opened(
      {
        protocol: socket.protocol,
        // Resolves even if sending fails, because the client may have disconnected.
        send(text) {
          return new Promise((resolve) => {
            socket.send(text, () => {
              resolve();
            });
          });
        },
        close(code, reason) {
          socket.close(code, reason);
        },
        onMessage(handle) {
          connected.reader = new SocketReader(connected, {
            handle: refuseUntilInit(socket, handle),
            bytesPerPoint: options.bytesPerPoint,
            charge: (points) => options.charge(request, points),
            refuse(error) {
              socket.close(TRY_AGAIN_LATER, options.mask(error).message);
            },
          });
        },
      },
      connected,
    );
    keepAlive(socket, connection);
    const unregister = options.register(request, () => {
      socket.terminate();
    });
    options.gauges.sockets += 1;
    // Errors need no handling here: after an invalid frame, `ws` closes the socket with the code that the protocol
    // defines.
    socket.on('error', ignore);
    socket.on('close', (code, reason) => {
      options.gauges.sockets -= 1;
      unregister();
      void closed(code, reason.toString());
    });
  });

  return {
    async close(spreadMs) {
      const all = [...sockets.clients];
      const closings = all.map(async (socket, i) => {
        await setTimeout((spreadMs * i) / all.length);
        await closeAfterResults(socket, SERVICE_RESTART, RESTART_REASON);
      });
      await Promise.all(closings);
      // Closes the sockets that were opened while the others were being closed.
      for (const socket of sockets.clients) socket.close(SERVICE_RESTART, RESTART_REASON);
      const ended = promisify(sockets.close.bind(sockets))();
      // Without this timeout, an unresponsive client would delay the shutdown by CLOSE_TIMEOUT_MS.
      await Promise.race([ended, setTimeout(SHUTDOWN_CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
      for (const socket of sockets.clients) socket.terminate();
      await ended;
    },
  };
}

/**
 * Runs an operation of a socket when fewer than `MAX_EXECUTING` others run. Most sockets are idle, so the limiter and its 2 KB
 * exist only while operations run.
 */
function executeLimited<Result>(connected: Connected, work: () => Promise<Result>): Promise<Result> {
  const limit = (connected.executing ??= pLimit(MAX_EXECUTING));
  return limit(work).finally(() => {
    if (limit.activeCount + limit.pendingCount === 0) connected.executing = null;
  });
}

/** Resolves when the socket can accept a result, or has closed. */
function writable(writer: SocketWriter): Promise<void> {
  return new Promise((resolve) => {
    writer.whenWritable(resolve);
  });
}

/**
 * Closes a socket whose first message is not `connection_init`. Without this check, graphql-ws would send a pong for a
 * ping that precedes `connection_init`.
 */
function refuseUntilInit(socket: WebSocket, handle: (text: string) => Promise<void>): (text: string) => Promise<void> {
  let isFirst = true;
  return async (text) => {
    if (isFirst && typeOf(text) !== 'connection_init') {
      socket.close(CloseCode.Unauthorized, 'Send connection_init first.');
      return;
    }
    isFirst = false;
    return handle(text);
  };
}

/**
 * Returns the type of a message. For a message that is not JSON, returns `connection_init`: the message is then passed
 * to graphql-ws, which closes the socket with 4400.
 */
function typeOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { type?: unknown } | null)?.type;
  } catch {
    return 'connection_init';
  }
}

/**
 * JSON reviver that throws for a message type that only servers send, so that the socket closes with 4400. Otherwise
 * graphql-ws would treat the message as an internal error, and a client could fill the log with stack traces.
 */
function refuseServersMessages(key: string, value: unknown): unknown {
  const type = key === '' ? (value as { type?: unknown } | null)?.type : undefined;
  if (type === 'next' || type === 'error' || type === 'connection_ack')
    throw new Error('Only servers send messages of this type.');
  return value;
}
