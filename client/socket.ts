import { createClient, type ClientOptions } from 'graphql-ws';
import { ChatError, errorOf, failed, type GraphQLFailure, unreachable } from './errors.ts';
import type { Result } from './http.ts';
import type { Session, Token } from './session.ts';
import { backoff, onOnline, wait } from './wait.ts';

/**
 * How things stand:
 *
 * - `idle`: nobody listens, and no socket is open
 * - `connecting`: the socket is being opened
 * - `catching-up`: a stream of `chatroomEvents` gets what it has missed
 * - `live`: what happens comes at once
 * - `offline`: the server cannot be reached, or does not take the socket; it is tried again
 * - `signed-out`: the session has ended
 */
export type ChatState = 'idle' | 'connecting' | 'catching-up' | 'live' | 'offline' | 'signed-out';

export type StateListener = (state: ChatState, reason: ChatError | null) => void;

export interface SocketOptions {
  /** Such as `ws://localhost:4000/graphql`. */
  url: string;
  session: Session;
  /** Where there is no global one, as in Node before 22: that of `ws`. */
  webSocketImpl: unknown;
  onState: StateListener | undefined;
  /** Fires when the client is closed. */
  closed: AbortSignal;
}

/** How a subscription ended: with the server's error, or `lost` with the socket, or just so. */
export type Ending = ChatError | 'lost' | 'complete';

export interface Listening {
  onOpen: () => void;
  onResult: (result: Result<unknown>) => void;
  onEnd: (ending: Ending) => void;
}

/** The one WebSocket of all subscriptions. */
export interface Socket {
  readonly state: ChatState;
  onState(listener: StateListener): () => void;
  /** Counts a stream in, from its beginning to its end, whether there is a socket or not. */
  enter(stream: object): () => void;
  /** Says whether a stream is still getting what it has missed. */
  catchUp(stream: object, behind: boolean): void;
  /** Resolves when it may be tried again; rejects with `UNAUTHENTICATED` when the session has ended. */
  ready(): Promise<void>;
  /** One subscription, until it ends or is stopped. It ends with its socket. */
  subscribe(query: string, variables: object, listening: Listening): () => void;
  /** The token that it was opened with does not count any more: opens another with a new token. */
  refuse(): void;
}

const NORMAL_CLOSURE = 1000;
const PING_MS = 10_000;
const PONG_MS = 5_000;
const OPENING_MS = 10_000;
/** Who looks at another room ends one stream and begins another. */
const LINGER_MS = 1_000;

/** Opens the socket when there are subscriptions, and says when it may be opened again after it was lost. */
export function createSocket({ url, session, webSocketImpl, onState, closed }: SocketOptions): Socket {
  const listeners = new Set<StateListener>(onState ? [onState] : []);
  const streams = new Set<object>();
  const behind = new Set<object>();
  const waiting = new Set<() => void>();
  let state: ChatState = 'idle';
  let reason: ChatError | null = null;
  let token: Token = { value: null, generation: 0 };
  let open = false;
  let lost = false;
  let signedOut = false;
  let failures = 0;
  let pause: Promise<void> = Promise.resolve();
  let nap = new AbortController();
  let patience: ReturnType<typeof setTimeout> | undefined;

  function limit(ms: number): void {
    clearTimeout(patience);
    patience = setTimeout(() => {
      client.terminate();
    }, ms);
  }

  const client = createClient({
    url,
    webSocketImpl: quiet(webSocketImpl ?? (globalThis as { WebSocket?: unknown }).WebSocket),
    // Streams come back by themselves, each after its own cursor.
    retryAttempts: 0,
    keepAlive: PING_MS,
    lazyCloseTimeout: LINGER_MS,
    async connectionParams() {
      token = await session.token();
      return token.value === null ? {} : { authorization: `Bearer ${token.value}` };
    },
    on: {
      connecting() {
        lost = false;
        limit(OPENING_MS);
      },
      connected() {
        clearTimeout(patience);
        open = true;
        reason = null;
        for (const tell of waiting) tell();
        waiting.clear();
        look();
      },
      ping(received) {
        // A socket that nobody is at the other end of any more looks like a quiet one.
        if (!received) limit(PONG_MS);
      },
      pong(received) {
        // It stands.
        if (received) failures = 0;
      },
      message() {
        if (open) clearTimeout(patience);
      },
      error: lose,
      closed: lose,
    },
  });

  /** The socket is gone, or was never opened. Heard before the subscriptions hear of it. */
  function lose(event: unknown): void {
    if (lost) return;
    lost = true;
    open = false;
    clearTimeout(patience);
    waiting.clear();
    // Nobody listens any more, or nobody takes what is held already.
    if ((event as { code?: unknown }).code === NORMAL_CLOSURE) {
      look();
      return;
    }
    const failure = errorOf(event);
    reason = failure ? new ChatError(failure) : unreachable('The server cannot be reached.', event);
    pause = recover(reason);
    // Whoever waits hears of it.
    pause.catch(() => undefined);
    if (reason.code === 'TOO_MANY_SOCKETS') failures += 1;
    look();
  }

  async function recover({ code }: ChatError): Promise<void> {
    nap = new AbortController();
    const ms = backoff(failures);
    failures += 1;
    const renewed =
      code === 'UNAUTHENTICATED'
        ? false
        : code === 'TOKEN_EXPIRED'
          ? await session.renew(token).catch(() => true)
          : true;
    if (renewed) return wait(ms, nap.signal);
    signedOut = true;
    reason = new ChatError({ code: 'UNAUTHENTICATED', message: 'This session has ended. Sign in again.' });
    look();
    throw reason;
  }

  function look(): void {
    const now = stateNow();
    if (now === state) return;
    state = now;
    // Not in the midst of the socket's work, which what a listener throws would end.
    const told = reason;
    for (const listener of listeners)
      queueMicrotask(() => {
        listener(now, told);
      });
  }

  function stateNow(): ChatState {
    if (signedOut) return 'signed-out';
    if (streams.size === 0) return 'idle';
    if (open) return behind.size > 0 ? 'catching-up' : 'live';
    return failures > 1 ? 'offline' : 'connecting';
  }

  const wake = () => {
    nap.abort();
  };
  onOnline(closed, wake);
  closed.addEventListener('abort', () => {
    clearTimeout(patience);
    wake();
    // Ends one that is being opened, too.
    client.terminate();
  });

  return {
    get state() {
      return state;
    },
    onState(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    enter(stream) {
      if (signedOut) {
        // Somebody may have signed in again.
        signedOut = false;
        pause = Promise.resolve();
      }
      streams.add(stream);
      look();
      return () => {
        streams.delete(stream);
        behind.delete(stream);
        look();
      };
    },
    catchUp(stream, isBehind) {
      if (isBehind) behind.add(stream);
      else behind.delete(stream);
      look();
    },
    ready: () => pause,
    subscribe(query, variables, { onOpen, onResult, onEnd }) {
      if (open) queueMicrotask(onOpen);
      else waiting.add(onOpen);
      return client.subscribe(
        { query, variables: variables as Record<string, unknown> },
        {
          next(result) {
            // It serves: what comes next is not one failure more in a row.
            if (!result.errors) failures = 0;
            onResult(result);
          },
          error(error) {
            onEnd(Array.isArray(error) ? failed(error as GraphQLFailure[]) : 'lost');
          },
          complete() {
            onEnd('complete');
          },
        },
      );
    },
    refuse() {
      if (!open) return;
      lose({ code: 4403, reason: 'The token does not count any more.' });
      client.terminate();
    },
  };
}

/** A socket that is given up while it is being opened says so; in Node that ends the program if nobody listens. */
function quiet(webSocketImpl: unknown): ClientOptions['webSocketImpl'] {
  if (typeof webSocketImpl !== 'function')
    throw new TypeError('There is no WebSocket here. Pass that of the package ws as webSocketImpl.');
  const Impl = webSocketImpl as new (url: string, protocols?: string | string[]) => EventTarget;
  return class extends Impl {
    constructor(url: string, protocols?: string | string[]) {
      super(url, protocols);
      this.addEventListener('error', () => undefined);
    }
  };
}
