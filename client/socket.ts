import { createClient, type ClientOptions } from 'graphql-ws';
import { ChatError, errorOf, failed, type GraphQLFailure, unreachable } from './errors.ts';
import type { Result } from './http.ts';
import type { Session, Token } from './session.ts';
import { backoff, onOnline, wait } from './wait.ts';

/**
 * State of the connection:
 *
 * - `idle`: there is no subscription, so no socket is needed
 * - `connecting`: the socket is being opened
 * - `catching-up`: a stream of `chatroomEvents` is replaying missed events
 * - `live`: events arrive at once
 * - `offline`: the server cannot be reached, or refuses the socket; the client retries
 * - `signed-out`: the session has ended
 */
export type ChatState = 'idle' | 'connecting' | 'catching-up' | 'live' | 'offline' | 'signed-out';

export type StateListener = (state: ChatState, reason: ChatError | null) => void;

export interface SocketOptions {
  /** URL of the socket, such as `ws://localhost:4000/graphql`. */
  url: string;
  session: Session;
  /** WebSocket class if there is no global one, as in Node before 22. */
  webSocketImpl: unknown;
  onState: StateListener | undefined;
  /** Fires when the client is closed. */
  closed: AbortSignal;
}

/** Reason for the end of a subscription: the server's error, `lost` if the socket closed, or `complete`. */
export type SubscriptionEnd = ChatError | 'lost' | 'complete';

export interface SubscriptionHandlers {
  onOpen: () => void;
  onResult: (result: Result<unknown>) => void;
  onEnd: (ending: SubscriptionEnd) => void;
}

/** The one WebSocket of all subscriptions. */
export interface Socket {
  readonly state: ChatState;
  onState(listener: StateListener): () => void;
  /** Registers a stream, even if the socket is not open. Returns a function that removes it. */
  addStream(stream: object): () => void;
  /** Sets whether a stream is still replaying missed events. */
  catchUp(stream: object, behind: boolean): void;
  /** Resolves when the backoff ends. Rejects with `UNAUTHENTICATED` if the session has ended. */
  ready(): Promise<void>;
  /** Starts one operation, which ends at the latest with its socket. Returns a function that unsubscribes. */
  subscribe(query: string, variables: object, listening: SubscriptionHandlers): () => void;
  /** Called when the server no longer accepts the socket's token. Closes the socket and reconnects with a new token. */
  reconnectWithNewToken(): void;
}

const NORMAL_CLOSURE = 1000;
const PING_INTERVAL_MS = 10_000;
const PONG_TIMEOUT_MS = 5_000;
const OPENING_TIMEOUT_MS = 10_000;
/** The socket stays open for this time after the last stream, because a user who changes rooms starts another one at once. */
const LAZY_CLOSE_TIMEOUT_MS = 1_000;

/** Creates the socket. It is open while there are subscriptions. After a loss, `ready` delays the next attempt. */
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
  let pauseEnd = new AbortController();
  let timeout: ReturnType<typeof setTimeout> | undefined;

  function startTimeout(ms: number): void {
    clearTimeout(timeout);
    timeout = setTimeout(() => {
      client.terminate();
    }, ms);
  }

  const client = createClient({
    url,
    webSocketImpl: quiet(webSocketImpl ?? (globalThis as { WebSocket?: unknown }).WebSocket),
    // Each stream reconnects itself, because it resumes after its own cursor.
    retryAttempts: 0,
    keepAlive: PING_INTERVAL_MS,
    lazyCloseTimeout: LAZY_CLOSE_TIMEOUT_MS,
    async connectionParams() {
      token = await session.token();
      return token.value === null ? {} : { authorization: `Bearer ${token.value}` };
    },
    on: {
      connecting() {
        lost = false;
        startTimeout(OPENING_TIMEOUT_MS);
      },
      connected() {
        clearTimeout(timeout);
        open = true;
        reason = null;
        for (const onOpen of waiting) onOpen();
        waiting.clear();
        updateState();
      },
      ping(received) {
        // Without this timeout a dead connection would be indistinguishable from a quiet one.
        if (!received) startTimeout(PONG_TIMEOUT_MS);
      },
      pong(received) {
        if (received) failures = 0;
      },
      message() {
        if (open) clearTimeout(timeout);
      },
      error: lose,
      closed: lose,
    },
  });

  /** Called when the socket was closed or could not be opened, before the subscriptions end. */
  function lose(event: unknown): void {
    if (lost) return;
    lost = true;
    open = false;
    clearTimeout(timeout);
    waiting.clear();
    // The last subscription has ended, or the buffers of all streams are full.
    if ((event as { code?: unknown }).code === NORMAL_CLOSURE) {
      updateState();
      return;
    }
    const failure = errorOf(event);
    reason = failure ? new ChatError(failure) : unreachable('The server cannot be reached.', event);
    pause = recover(reason);
    // Callers of `ready` handle the rejection. Without callers it would be unhandled.
    pause.catch(() => undefined);
    if (reason.code === 'TOO_MANY_SOCKETS') failures += 1;
    updateState();
  }

  async function recover({ code }: ChatError): Promise<void> {
    pauseEnd = new AbortController();
    const ms = backoff(failures);
    failures += 1;
    const renewed =
      code === 'UNAUTHENTICATED'
        ? false
        : code === 'TOKEN_EXPIRED'
          ? await session.renew(token).catch(() => true)
          : true;
    if (renewed) return wait(ms, pauseEnd.signal);
    signedOut = true;
    reason = new ChatError({ code: 'UNAUTHENTICATED', message: 'This session has ended. Sign in again.' });
    updateState();
    throw reason;
  }

  function updateState(): void {
    const current = computeState();
    if (current === state) return;
    state = current;
    const currentReason = reason;
    // Listeners run in a microtask, so that an exception of theirs does not interrupt the socket's handlers.
    for (const listener of listeners)
      queueMicrotask(() => {
        listener(current, currentReason);
      });
  }

  function computeState(): ChatState {
    if (signedOut) return 'signed-out';
    if (streams.size === 0) return 'idle';
    if (open) return behind.size > 0 ? 'catching-up' : 'live';
    return failures > 1 ? 'offline' : 'connecting';
  }

  const wake = () => {
    pauseEnd.abort();
  };
  onOnline(closed, wake);
  closed.addEventListener('abort', () => {
    clearTimeout(timeout);
    wake();
    // `terminate` also closes a socket that is still opening.
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
    addStream(stream) {
      if (signedOut) {
        // The user may have signed in again.
        signedOut = false;
        pause = Promise.resolve();
      }
      streams.add(stream);
      updateState();
      return () => {
        streams.delete(stream);
        behind.delete(stream);
        updateState();
      };
    },
    catchUp(stream, isBehind) {
      if (isBehind) behind.add(stream);
      else behind.delete(stream);
      updateState();
    },
    ready: () => pause,
    subscribe(query, variables, { onOpen, onResult, onEnd }) {
      if (open) queueMicrotask(onOpen);
      else waiting.add(onOpen);
      return client.subscribe(
        { query, variables: variables as Record<string, unknown> },
        {
          next(result) {
            // The server works, so the next failure is the first one in a row.
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
    reconnectWithNewToken() {
      if (!open) return;
      lose({ code: 4403, reason: 'The access token is no longer valid.' });
      client.terminate();
    },
  };
}

/** Adds an error listener to each socket. A socket that is closed while it opens emits an error, which would end a Node process. */
function quiet(webSocketImpl: unknown): ClientOptions['webSocketImpl'] {
  if (typeof webSocketImpl !== 'function')
    throw new TypeError('There is no global WebSocket. Pass the WebSocket of the package ws as webSocketImpl.');
  const Impl = webSocketImpl as new (url: string, protocols?: string | string[]) => EventTarget;
  return class extends Impl {
    constructor(url: string, protocols?: string | string[]) {
      super(url, protocols);
      this.addEventListener('error', () => undefined);
    }
  };
}
