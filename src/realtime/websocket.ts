import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type ExecutionArgs, getOperationAST, type GraphQLError, OperationTypeNode } from 'graphql';
import { CloseCode, handleProtocols, makeServer, type ServerOptions, type SubscribePayload } from 'graphql-ws';
import pLimit, { type LimitFunction } from 'p-limit';
import { type WebSocket, WebSocketServer } from 'ws';
import { createIntake, type Intake } from './intake.ts';
import { keepAlive } from './keepAlive.ts';
import { createOutlet, type Outlet } from './outlet.ts';
import type { Source } from './pull.ts';
import { toBytes, writeStraight } from './writing.ts';

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
  /** Counts the sockets, and the subscriptions that wait for theirs to be drained. */
  open: { sockets: number; waiting: number };
  /** The status, such as `403 Forbidden`, at which a handshake is refused; null for one that may connect. */
  refusal: (request: IncomingMessage) => Promise<string | null>;
  /**
   * Counts a socket whose client is not known yet.
   *
   * @param cut cuts the connection
   * @returns a function to call when the socket has closed
   */
  enter: (request: IncomingMessage, cut: () => void) => () => void;
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
  ) => Promise<Prepared | readonly GraphQLError[]>;
  /**
   * Charges a client for its messages.
   *
   * @throws an error for a client that sends too many
   */
  charge: (request: IncomingMessage, points: number) => Promise<void>;
  /** Bytes of messages that cost a client one point. */
  bytesPerPoint: number;
  /** Subscriptions that a socket may have open. */
  maxSubscriptions: number;
  /** The error of one subscription more. */
  tooManySubscriptions: () => unknown;
  /** Size of the largest message that a client may send, in bytes. A larger one closes the socket with 1009. */
  maxMessageBytes: number;
  /** Told of each result of a subscription that is written. */
  onWritten?: ((result: object) => void) | undefined;
  /** The shape in which clients see a failure. */
  mask: (error: unknown) => GraphQLError;
}

/** An operation, and in `rootValue` how to run it; a subscription leaves its stream there, whatever it answers. */
export type Prepared = ExecutionArgs & {
  rootValue: {
    execute: Run;
    subscribe: Run;
    /** Whether the operation ends its own session. */
    endsSession: () => boolean;
    stream?: Source<object>;
  };
};
/** The same, and in `rootValue` where its results go. */
type SocketOperation = ExecutionArgs & {
  rootValue: Prepared['rootValue'] & { connected: Connected; id: string };
};
/** One socket, and how much goes through it. */
interface Connected {
  socket: WebSocket;
  request: IncomingMessage;
  /** What the socket reads from and writes to. */
  connection: Socket;
  outlet: Outlet;
  intake: Intake | null;
  /** Executes queries and mutations, and sets up subscriptions. */
  execute: LimitFunction;
  /** Subscriptions that are open or being set up. */
  subscriptions: number;
}
type Run = (args: ExecutionArgs) => ReturnType<NonNullable<ServerOptions['execute']>>;

/** Fragments and network reads of which a message may consist; each costs some hundred bytes until it is complete. */
const MAX_PARTS = 4_096;
/** How long a client may take to answer that its socket is being closed. */
const CLOSE_TIMEOUT_MS = 5_000;
/** Operations of one socket that are executed at once; each result waits in memory until it is written. */
const MAX_EXECUTING = 8;
/** Size of the largest payload that a ping may have, in bytes, because it is sent back. */
const MAX_PING_PAYLOAD = 1_024;
/** Longest id of an operation. It is repeated in each message of the operation; clients use 36 characters. */
const MAX_ID_LENGTH = 256;
/** Clients take 1012 as "come back": the server restarts. */
const SERVICE_RESTART = 1012;
const RESTARTS = 'The server restarts. Come back.';
/** And 1013 as "come back later". */
export const TRY_AGAIN_LATER = 1013;
/** How long what a socket has asked may take before the socket is closed for good reason. */
const LONGEST_ANSWER_MS = 500;
/** The same for the operation that ended the session of the socket. `deleteAccount` takes up to 5 s and one statement more. */
const LONGEST_LAST_ANSWER_MS = 10_000;
/** How long a socket may take to answer that it is being closed. */
const LONGEST_GOODBYE_MS = 3_000;

/** Answers nothing: the socket is closing, and the library would close it with its own code. */
const never = () => new Promise<never>(() => undefined);

/** Serves GraphQL over WebSocket (graphql-transport-ws) on the HTTP server's port. */
export function serveWebSockets(options: WebSocketServing & { server: Server; path: string }): {
  /** Closes all sockets with 1012, spread over so long that those who come back do not come at once. */
  close(spreadMs: number): Promise<void>;
} {
  const sockets = new WebSocketServer({
    ...{ noServer: true, handleProtocols, perMessageDeflate: false, maxPayload: options.maxMessageBytes },
    ...{ maxFragments: MAX_PARTS, maxBufferedChunks: MAX_PARTS, closeTimeout: CLOSE_TIMEOUT_MS },
  });

  options.server.on('upgrade', (request, socket, head) => {
    // The HTTP server has let go of the socket: an error that nobody hears would end the process.
    socket.on('error', () => socket.destroy());
    const [pathname] = (request.url ?? '/').split('?', 1);
    const refused = pathname === options.path ? options.refusal(request) : Promise.resolve('404 Not Found');
    void refused.then((status) => {
      if (status === null)
        sockets.handleUpgrade(request, socket, head, (webSocket) => sockets.emit('connection', webSocket, request));
      else socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
    });
  });

  const serialized = new WeakMap<object, string>();
  /** One result may go to many sockets. */
  function serialize(result: object): string {
    const text = serialized.get(result) ?? toBytes(JSON.stringify(result));
    serialized.set(result, text);
    return text;
  }

  const writing = { open: options.open, onWritten: options.onWritten, serialize };

  /** Operations without an answer yet, of each socket. */
  const answering = new WeakMap<WebSocket, Set<{ answered: Promise<unknown>; endsSession: () => boolean }>>();
  async function answer(args: SocketOperation): Promise<Awaited<ReturnType<Run>>> {
    const { execute, endsSession, connected } = args.rootValue;
    const { socket, outlet } = connected;
    const pending = answering.get(socket) ?? new Set();
    answering.set(socket, pending);
    const result = connected.execute(async () => {
      await writable(outlet);
      const answered = await execute(args);
      // It is made a text once the ones before it are written.
      await writable(outlet);
      return answered;
    });
    const operation = { answered: result, endsSession };
    pending.add(operation);
    return result.finally(() => pending.delete(operation));
  }
  /** Closes a socket after the answers to its operations, so that a user who ends their own session over it sees that it worked. */
  async function closeAnswered(socket: WebSocket, code: number, reason: string): Promise<void> {
    const pending = [...(answering.get(socket) ?? [])];
    const isLast = pending.some(({ endsSession }) => endsSession());
    const answered = Promise.allSettled(pending.map((each) => each.answered)).then(() => setImmediate());
    const ms = isLast ? LONGEST_LAST_ANSWER_MS : LONGEST_ANSWER_MS;
    await Promise.race([answered, setTimeout(ms, undefined, { ref: false })]);
    socket.close(code, reason);
  }

  const graphql = makeServer<Record<string, unknown>, Connected>({
    execute: (args) => answer(args as SocketOperation),
    async subscribe(args) {
      const { rootValue } = args as SocketOperation;
      const { connected, id } = rootValue;
      const forget = once(() => (connected.subscriptions -= 1));
      try {
        const results = await connected.execute(async () => {
          await writable(connected.outlet);
          return rootValue.subscribe(args);
        });
        if (!rootValue.stream) {
          forget();
          return results;
        }
        // The library keeps its arguments for as long as the stream goes on, which needs nothing of them.
        Object.assign(args, { contextValue: null, rootValue: null });
        return writeStraight(
          rootValue.stream,
          { ...connected, id },
          { ...writing, onStart: (ended) => connected.intake?.exclude(ended), onEnd: forget },
        );
      } catch (error) {
        forget();
        throw error;
      }
    },
    onPing({ extra: { socket } }, payload) {
      if (payload && Buffer.byteLength(JSON.stringify(payload)) > MAX_PING_PAYLOAD)
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
      const stopWatching = admission.watch((code, reason) => void closeAnswered(socket, code, reason));
      // Whoever hung up before they were admitted is gone already.
      if (socket.readyState === socket.OPEN) socket.once('close', stopWatching);
      else stopWatching();
      return admission.ack;
    },
    async onSubscribe({ connectionParams, extra }, id, payload) {
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
        Object.assign(operation.rootValue, { connected: extra, id });
        return operation;
      } catch (error) {
        return [options.mask(error)];
      }
    },
    async onError({ extra }, _id, _payload, errors) {
      await writable(extra.outlet);
      return errors.map((error) => options.mask(error).toJSON());
    },
  });

  sockets.on('connection', (socket, request) => {
    const connection = request.socket;
    const outlet = createOutlet(connection);
    const connected: Connected = {
      ...{ socket, request, connection, outlet },
      ...{ intake: null, execute: pLimit(MAX_EXECUTING), subscriptions: 0 },
    };
    const closed = graphql.opened(
      {
        protocol: socket.protocol,
        // Whoever has gone meanwhile is told nothing.
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
        onMessage(take) {
          connected.intake = createIntake(connected, {
            take: refuseUntilInit(socket, take),
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
    keepAlive(socket, connection, () => socket.isPaused);
    const leave = options.enter(request, () => {
      socket.terminate();
    });
    options.open.sockets += 1;
    // At a broken frame the socket is closed with the protocol's code.
    socket.on('error', () => undefined);
    socket.once('close', (code, reason) => {
      options.open.sockets -= 1;
      leave();
      void closed(code, reason.toString());
    });
  });

  return {
    async close(spreadMs) {
      const all = [...sockets.clients];
      const closings = all.map(async (socket, i) => {
        await setTimeout((spreadMs * i) / all.length);
        socket.close(SERVICE_RESTART, RESTARTS);
      });
      await Promise.all(closings);
      // Those too that came meanwhile.
      for (const socket of sockets.clients) socket.close(SERVICE_RESTART, RESTARTS);
      const ended = promisify(sockets.close.bind(sockets))();
      // Whoever does not answer would be waited for half a minute.
      await Promise.race([ended, setTimeout(LONGEST_GOODBYE_MS, undefined, { ref: false })]);
      for (const socket of sockets.clients) socket.terminate();
      await ended;
    },
  };
}

/** Resolves when the socket has room for an answer, or has closed. */
function writable(outlet: Outlet): Promise<void> {
  return new Promise((resolve) => {
    outlet.whenWritable(resolve);
  });
}

/** Closes a socket whose first message is not `connection_init`; the library would answer a ping before it. */
function refuseUntilInit(socket: WebSocket, take: (text: string) => Promise<void>): (text: string) => Promise<void> {
  let isFirst = true;
  return async (text) => {
    if (isFirst && typeOf(text) !== 'connection_init') {
      socket.close(CloseCode.Unauthorized, 'Send connection_init first.');
      return;
    }
    isFirst = false;
    return take(text);
  };
}

/** The type of a message; `connection_init` for text that is no message, which the library refuses with 4400. */
function typeOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { type?: unknown } | null)?.type;
  } catch {
    return 'connection_init';
  }
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (!done) run();
    done = true;
  };
}

/**
 * What only servers say is no message for one: the socket closes with 4400. The library would take it for a fault of its
 * own, and print a stack for each, as often as a client likes.
 */
function refuseServersMessages(key: string, value: unknown): unknown {
  const type = key === '' ? (value as { type?: unknown } | null)?.type : undefined;
  if (type === 'next' || type === 'error' || type === 'connection_ack') throw new Error('Clients do not say this.');
  return value;
}
