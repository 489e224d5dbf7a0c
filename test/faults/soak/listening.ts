import { type Client, createClient } from 'graphql-ws';
import type WebSocket from 'ws';
import { codeOf, type Heard, overSse, PatientSocket } from '../streams.ts';
import { STREAMS } from './documents.ts';
import { type Ending, lives, type Membership, type Session } from './world.ts';

export type StreamKind = keyof typeof STREAMS;

export interface Stream {
  kind: StreamKind;
  session: Session;
  /** The membership that the stream depends on, or null if it belongs to no room. */
  membership: Membership | null;
  /** The last received cursor. */
  cursor: string | null;
  number: number;
  /** Expiry of the token with which the stream was opened. */
  expiresAt: number;
  /** Null over SSE. */
  socket: Socket | null;
  hangUp: () => void;
}

/** The connection of one device, which carries several streams. */
interface Socket {
  client: Client;
  expiresAt: number;
  /** Cuts the connection without a close frame. */
  cut(): void;
}

/** All streams of all users. */
export interface Listening {
  streams: ReadonlySet<Stream>;
  counts: {
    begun: number;
    /** Number of streams that resumed with a cursor, included in the number of started ones. */
    resumed: number;
    /** Number of streams that ended because their token expired, and because their connection was silent. */
    expired: number;
    silent: number;
    told: number;
  };
  begin(kind: StreamKind, session: Session, membership: Membership | null, overHttp: boolean): Promise<void>;
  /** Resumes the stream of a disconnected user with its cursor. Returns null if there is none. */
  comeBack(overHttp: boolean): Promise<void> | null;
  hangUpOne(stream: Stream): void;
  /** Disconnects a device, with all streams of its socket. */
  disconnect(session: Session, how: 'closed' | 'cut'): void;
  /** Ends all streams that depend on one of these. */
  hangUp(things: readonly Ending[]): void;
  /** Reports streams that continue without authorisation. */
  findOverdue(): void;
  stop(): Promise<void>;
}

/** Maximum delay in milliseconds. The node promises a second, but a busy machine may need longer. */
const OVERDUE_MS = 60_000;
const CLOCKS_DIFFER_MS = 2_000;
const EXPIRED = ['CLOSED 4403', 'TOKEN_EXPIRED'];
/** Maximum number of streams that wait for a resume. */
const MOST_AWAY = 100;

export function startListening(options: {
  url: string;
  keepFresh: (session: Session) => Promise<void>;
  find: (what: string) => void;
}): Listening {
  const { url, keepFresh, find } = options;
  const streams = new Set<Stream>();
  const sockets = new Map<Session, Socket>();
  const away: Stream[] = [];
  const counts = { begun: 0, resumed: 0, expired: 0, silent: 0, told: 0 };

  async function open(stream: Stream, overHttp: boolean): Promise<void> {
    const { kind, session, membership, cursor } = stream;
    streams.add(stream);
    counts.begun += 1;
    await keepFresh(session);
    if (!streams.has(stream)) return;
    const variables = { room: membership?.room.id, after: cursor };
    const asked = { url, token: session.accessToken, query: STREAMS[kind].query, variables, patient: false };
    const where = `${kind} over ${overHttp ? 'SSE' : 'WebSocket'}`;
    const heard: Heard = {
      onOpen: () => undefined,
      onEvent: (data) => {
        take(stream, Object.values(data as object)[0]);
      },
      // The failure also ends the stream.
      onFailure: () => undefined,
      onEnd(code) {
        ended(stream, where, code);
      },
    };
    if (overHttp) {
      stream.expiresAt = session.expiresAt;
      stream.hangUp = overSse(asked, heard);
    } else {
      const socket = sockets.get(session) ?? connect(session);
      stream.socket = socket;
      stream.expiresAt = socket.expiresAt;
      stream.hangUp = listenOn(socket.client, asked, heard);
    }
  }

  function take(stream: Stream, event: any): void {
    counts.told += 1;
    stream.cursor = event?.cursor ?? stream.cursor;
    if (stream.kind !== 'messages') return;
    const { number } = event.message;
    if (number <= stream.number) find(`messages came again: ${number} after ${stream.number}`);
    stream.number = number;
  }

  function ended(stream: Stream, where: string, code: string): void {
    // A stream that is no longer in the set was ended by the client.
    if (!streams.delete(stream)) return;
    if (!standsOf(stream).every(lives) && code !== 'INTERNAL_SERVER_ERROR') return;
    if (EXPIRED.includes(code) && Date.now() > stream.expiresAt - CLOCKS_DIFFER_MS) counts.expired += 1;
    else if (code === 'NO_PONG') counts.silent += 1;
    else find(`${where} ended with ${code}`);
    leave(stream);
  }

  /** Queues the stream for a later resume. */
  function leave(stream: Stream): void {
    if (STREAMS[stream.kind].resumes) away.push(stream);
    if (away.length > MOST_AWAY) away.shift();
  }

  function connect(session: Session): Socket {
    let opened: WebSocket | undefined;
    const client = createClient({
      url: `${url.replace('http', 'ws')}/graphql`,
      webSocketImpl: PatientSocket,
      connectionParams: { authorization: `Bearer ${session.accessToken}` },
      retryAttempts: 0,
      on: {
        opened: (it) => {
          opened = it as WebSocket;
        },
        closed: () => {
          forget(session, socket);
        },
      },
    });
    const socket: Socket = {
      ...{ client, expiresAt: session.expiresAt },
      cut() {
        if (opened) opened.terminate();
        else client.terminate();
      },
    };
    sockets.set(session, socket);
    return socket;
  }

  function forget(session: Session, socket: Socket): void {
    if (sockets.get(session) === socket) sockets.delete(session);
  }

  function hangUpOne(stream: Stream): void {
    streams.delete(stream);
    // A socket closes with its last stream. The next stream opens a new socket.
    const { socket } = stream;
    if (socket && ![...streams].some((other) => other.socket === socket)) forget(stream.session, socket);
    stream.hangUp();
  }

  return {
    ...{ streams, counts, hangUpOne },
    begin: (kind, session, membership, overHttp) => {
      const nothing = { cursor: null, number: 0, expiresAt: Infinity, socket: null, hangUp: () => undefined };
      return open({ kind, session, membership, ...nothing }, overHttp);
    },
    comeBack(overHttp) {
      for (let stream = away.shift(); stream; stream = away.shift()) {
        if (!standsOf(stream).every(lives)) continue;
        counts.resumed += 1;
        return open({ ...stream, socket: null, hangUp: () => undefined }, overHttp);
      }
      return null;
    },
    disconnect(session, how) {
      const socket = sockets.get(session);
      if (!socket) return;
      sockets.delete(session);
      for (const stream of streams) if (stream.socket === socket && streams.delete(stream)) leave(stream);
      if (how === 'cut') socket.cut();
      else void socket.client.dispose();
    },
    hangUp(things) {
      const over = new Set(things);
      for (const stream of streams) if (standsOf(stream).some((thing) => over.has(thing))) hangUpOne(stream);
    },
    findOverdue() {
      const before = performance.now() - OVERDUE_MS;
      for (const stream of streams) {
        if (!standsOf(stream).some(({ overAt = Infinity }) => overAt < before)) continue;
        find(`${stream.kind} went on for a minute without any right to it`);
        hangUpOne(stream);
      }
    },
    async stop() {
      away.length = 0;
      const open = [...sockets.values()];
      for (const stream of streams) hangUpOne(stream);
      for (const { client } of open) await client.dispose();
    },
  };
}

function standsOf({ session, membership }: Stream): Ending[] {
  return [session, session.person, ...(membership ? [membership, membership.room] : [])];
}

/** Subscribes on a shared socket. Returns a function that ends only this subscription. */
function listenOn(
  client: Client,
  { query, variables }: { query: string; variables: Record<string, unknown> },
  { onEvent, onFailure, onEnd }: Heard,
): () => void {
  let failure = 'COMPLETE';
  return client.subscribe(
    { query, variables },
    {
      next({ data, errors }) {
        if (!errors) return void onEvent(data);
        failure = codeOf(errors);
        onFailure(failure);
      },
      error(error) {
        onEnd(codeOf(error));
      },
      complete() {
        onEnd(failure);
      },
    },
  );
}
