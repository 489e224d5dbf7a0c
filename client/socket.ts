import { type Client, createClient, type ClientOptions } from 'graphql-ws';
import { ChatError, errorOf, failed, type GraphQLFailure, unreachable } from './errors.ts';
import type { Result } from './http.ts';
import { type Session, SESSION_ENDED, type Token } from './session.ts';
import { backoff, onAbort, onOnline, wait } from './wait.ts';

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

/** Returns whether the socket is open, so that a new subscription starts at once. */
export const isConnected = (state: ChatState): boolean => state === 'live' || state === 'catching-up';

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

const NORMAL_CLOSURE = 1000;
const PING_INTERVAL_MS = 10_000;
const PONG_TIMEOUT_MS = 5_000;
const OPENING_TIMEOUT_MS = 10_000;
/** Time without a result, after which a ping checks whether the server still receives the requests of this socket. */
const PROBE_AFTER_MS = 1_000;
/** Timeout of this ping. Shorter than `PONG_TIMEOUT_MS`, because a message waits that can be sent over HTTP. */
const PROBE_TIMEOUT_MS = 2_000;
/**
 * Time for which the socket stays open after the last stream has ended. A user who changes rooms starts another stream
 * within this time.
 */
const LAZY_CLOSE_TIMEOUT_MS = 1_000;

/**
 * State of the WebSocket: `closed` before the first attempt and after a loss, `opening`, `open`, or `signed-out` when
 * the session has ended.
 */
type SocketState = 'closed' | 'opening' | 'open' | 'signed-out';

/**
 * The WebSocket that all subscriptions share. The socket is open while there are subscriptions. After a lost
 * connection, wait for `ready` before you subscribe again.
 */
export class Socket {
  readonly #session: Session;
  readonly #client: Client;
  readonly #listeners = new Set<StateListener>();
  readonly #streams = new Set<object>();
  /** Streams that are still replaying missed events. */
  readonly #behind = new Set<object>();
  /** Callbacks of operations that were started before the socket was open. */
  readonly #waiting = new Set<() => void>();
  #socketState: SocketState = 'closed';
  #state: ChatState = 'idle';
  /** Error that closed the socket or kept it from opening. Null if there was none. */
  #reason: ChatError | null = null;
  /** The token with which the socket was opened. */
  #token: Token = { value: null, generation: 0, isLost: false };
  /** The WebSocket that was opened last. */
  #webSocket: { send: (text: string) => void } | null = null;
  /** Number of messages that the server has sent. */
  #received = 0;
  /** Whether the server has not responded to the ping of a request, and has sent nothing since then. */
  #isSilent = false;
  /** Number of failures in a row. */
  #failures = 0;
  #pause: Promise<void> = Promise.resolve();
  #pauseEnd = new AbortController();
  #timeout: ReturnType<typeof setTimeout> | undefined;

  constructor({ url, session, webSocketImpl, onState, closed }: SocketOptions) {
    this.#session = session;
    if (onState) this.#listeners.add(onState);
    this.#client = createClient({
      url,
      webSocketImpl: quiet(webSocketImpl ?? (globalThis as { WebSocket?: unknown }).WebSocket),
      // graphql-ws does not reconnect. Instead each stream subscribes again after its own cursor.
      retryAttempts: 0,
      keepAlive: PING_INTERVAL_MS,
      lazyCloseTimeout: LAZY_CLOSE_TIMEOUT_MS,
      connectionParams: () => this.#credential(),
      on: this.#handlers(),
    });
    const wake = () => {
      this.#pauseEnd.abort();
    };
    onOnline(closed, wake);
    closed.addEventListener('abort', () => {
      clearTimeout(this.#timeout);
      wake();
      // `terminate` also closes a socket that is still opening.
      this.#client.terminate();
    });
  }

  get state(): ChatState {
    return this.#state;
  }

  onState(listener: StateListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Registers a stream, even if the socket is not open. Returns a function that removes it. */
  addStream(stream: object): () => void {
    if (this.#socketState === 'signed-out') {
      // The user may have signed in again, so the socket may open again.
      [this.#socketState, this.#pause] = ['closed', Promise.resolve()];
    }
    this.#streams.add(stream);
    this.#update();
    return () => {
      this.#streams.delete(stream);
      this.#behind.delete(stream);
      this.#update();
    };
  }

  /** Sets whether a stream is still replaying missed events. */
  catchUp(stream: object, isBehind: boolean): void {
    if (isBehind) this.#behind.add(stream);
    else this.#behind.delete(stream);
    this.#update();
  }

  /** Resolves when the backoff ends. Rejects with `UNAUTHENTICATED` if the session has ended. */
  ready(): Promise<void> {
    return this.#pause;
  }

  /**
   * Starts one operation over the socket. The operation ends at the latest when the socket closes. Returns a function
   * that unsubscribes.
   */
  subscribe(query: string, variables: object, { onOpen, onResult, onEnd }: SubscriptionHandlers): () => void {
    if (this.#socketState === 'open') queueMicrotask(onOpen);
    else this.#waiting.add(onOpen);
    return this.#client.subscribe(
      { query, variables: variables as Record<string, unknown> },
      {
        next: (result) => {
          // The connection works, so the next failure counts as the first one.
          if (!result.errors) this.#failures = 0;
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
  }

  /**
   * Returns whether requests with this token can be sent over the socket: the socket is open with this token, and the
   * server responds. With another token, the socket may belong to another user.
   */
  accepts({ value, generation, isLost }: Token): boolean {
    const isSame = value === this.#token.value && generation === this.#token.generation;
    return isConnected(this.#state) && !this.#isSilent && !isLost && isSame;
  }

  /**
   * Sends a query or mutation over the open socket. Returns data and errors as the server sent them.
   *
   * @throws ChatError `UNREACHABLE` if the socket closes before the result, or if the server sends nothing for 3 s. The
   *   server may still execute the operation.
   */
  async request(query: string, variables: object, signal: AbortSignal): Promise<Result<unknown>> {
    signal.throwIfAborted();
    let stop: (() => void)[] = [];
    try {
      return await new Promise((resolve, reject) => {
        const unsubscribe = this.subscribe(query, variables, {
          onOpen: () => undefined,
          onResult: resolve,
          onEnd(ending) {
            if (typeof ending === 'object') resolve({ errors: ending.graphQLErrors });
            else reject(unreachable('The connection was lost before the response.'));
          },
        });
        const giveUp = (reason: Error) => {
          unsubscribe();
          reject(reason);
        };
        stop = [
          onAbort(signal, () => {
            giveUp(signal.reason as Error);
          }),
          this.#onSilence(() => {
            giveUp(unreachable('The server does not respond.'));
          }),
        ];
      });
    } finally {
      for (const each of stop) each();
    }
  }

  /** Called when the server no longer accepts the socket's token. Closes the socket and reconnects with a new token. */
  reconnectWithNewToken(): void {
    if (this.#socketState !== 'open') return;
    this.#lose({ code: 4403, reason: 'The access token is no longer valid.' });
    this.#client.terminate();
  }

  /**
   * Ends the session if the socket was opened with a token, but there is no token any more. Another tab has then signed
   * out, or has signed in another user.
   */
  async endWithoutToken(): Promise<void> {
    const opened = this.#token;
    if (this.#socketState !== 'open' || opened.value === null) return;
    const { isLost } = await this.#session.token().catch(() => opened);
    if (isLost && this.#token === opened) this.#endSession();
  }

  #endSession(): void {
    this.#lose({ code: 4401, reason: SESSION_ENDED });
    this.#client.terminate();
  }

  async #credential(): Promise<Record<string, string>> {
    this.#token = await this.#session.token();
    return this.#token.value === null ? {} : { authorization: `Bearer ${this.#token.value}` };
  }

  #handlers(): ClientOptions['on'] {
    const lose = (event: unknown) => {
      this.#lose(event);
    };
    return {
      connecting: () => {
        this.#socketState = 'opening';
        this.#startTimeout(OPENING_TIMEOUT_MS);
      },
      opened: (webSocket) => {
        this.#webSocket = webSocket as { send: (text: string) => void };
      },
      connected: () => {
        this.#opened();
      },
      ping: (received) => {
        // Detects a dead connection, which would otherwise look like a quiet one.
        if (!received) this.#startTimeout(PONG_TIMEOUT_MS);
      },
      pong: (received) => {
        if (received) this.#failures = 0;
      },
      message: () => {
        this.#received += 1;
        this.#isSilent = false;
        if (this.#socketState === 'open') clearTimeout(this.#timeout);
      },
      error: lose,
      closed: lose,
    };
  }

  #startTimeout(ms: number): void {
    clearTimeout(this.#timeout);
    this.#timeout = setTimeout(() => {
      this.#client.terminate();
    }, ms);
  }

  /**
   * Sends a ping after `PROBE_AFTER_MS`, and calls the listener if the server then sends nothing for `PROBE_TIMEOUT_MS`.
   * A server that is only slow responds to the ping. Returns a function that removes the listener.
   */
  #onSilence(listener: () => void): () => void {
    let timer = setTimeout(() => {
      const received = this.#received;
      this.#webSocket?.send('{"type":"ping"}');
      timer = setTimeout(() => {
        if (this.#received > received) return;
        if (!this.#isSilent) this.#startTimeout(PONG_TIMEOUT_MS - PROBE_TIMEOUT_MS);
        this.#isSilent = true;
        listener();
      }, PROBE_TIMEOUT_MS);
    }, PROBE_AFTER_MS);
    return () => {
      clearTimeout(timer);
    };
  }

  #opened(): void {
    clearTimeout(this.#timeout);
    // Another user may have signed in in another tab while the socket was closed.
    if (this.#token.isLost) {
      this.#endSession();
      return;
    }
    [this.#socketState, this.#reason] = ['open', null];
    for (const onOpen of this.#waiting) onOpen();
    this.#waiting.clear();
    this.#update();
  }

  /**
   * Called when the socket was closed or could not be opened, before the subscriptions end. Ignores the second call if
   * both `error` and `closed` report the same loss.
   */
  #lose(event: unknown): void {
    if (this.#socketState !== 'opening' && this.#socketState !== 'open') return;
    this.#socketState = 'closed';
    clearTimeout(this.#timeout);
    this.#waiting.clear();
    // A normal closure needs no backoff. The last subscription has ended, or the buffers of all streams are full.
    if ((event as { code?: unknown }).code === NORMAL_CLOSURE) {
      this.#update();
      return;
    }
    const failure = errorOf(event);
    this.#reason = failure ? new ChatError(failure) : unreachable('The server cannot be reached.', event);
    this.#pause = this.#recover(this.#reason);
    // Callers of `ready` handle the rejection. Without callers it would be unhandled.
    this.#pause.catch(() => undefined);
    if (this.#reason.code === 'TOO_MANY_SOCKETS') this.#failures += 1;
    this.#update();
  }

  async #recover(reason: ChatError): Promise<void> {
    this.#pauseEnd = new AbortController();
    const ms = backoff(this.#failures);
    this.#failures += 1;
    if (await this.#renews(reason)) return wait(ms, this.#pauseEnd.signal);
    this.#socketState = 'signed-out';
    this.#reason = new ChatError({ code: 'UNAUTHENTICATED', message: SESSION_ENDED });
    this.#update();
    throw this.#reason;
  }

  /**
   * Renews the token if it has expired. Returns false if the viewer is signed out, and otherwise true, even if the
   * renewal failed.
   */
  async #renews({ code }: ChatError): Promise<boolean> {
    if (code === 'UNAUTHENTICATED') return false;
    return code !== 'TOKEN_EXPIRED' || this.#session.renew(this.#token).catch(() => true);
  }

  #update(): void {
    const state = this.#currentState();
    if (state === this.#state) return;
    this.#state = state;
    const reason = this.#reason;
    // Listeners run in microtasks, so that their exceptions do not interrupt the handlers of the socket.
    for (const listener of this.#listeners)
      queueMicrotask(() => {
        listener(state, reason);
      });
  }

  #currentState(): ChatState {
    if (this.#socketState === 'signed-out') return 'signed-out';
    if (this.#streams.size === 0) return 'idle';
    if (this.#socketState === 'open') return this.#behind.size > 0 ? 'catching-up' : 'live';
    return this.#failures > 1 ? 'offline' : 'connecting';
  }
}

/**
 * Returns a class whose sockets have an error listener. A socket that is closed while it opens emits an error. Without
 * a listener, this error would end a Node process.
 */
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
