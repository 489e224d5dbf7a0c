import { type Document, sendTargetsOf, textOf } from './document.ts';
import { ChatError, failed } from './errors.ts';
import { createRequest, type RequestOptions, type Result } from './http.ts';
import { type Outbox, type OutboxEntry, StoredOutbox } from './outbox.ts';
import type { OutboxStore } from './outboxStore.ts';
import type { SendInput, SentMessage } from './send.ts';
import { type Attempt, SendQueue } from './sendQueue.ts';
import { createSession, type SessionOptions } from './session.ts';
import { type ChatState, createSocket, type StateListener } from './socket.ts';
import { type ChatStream, createStream, type StreamOptions } from './stream.ts';
import { onOnline } from './wait.ts';

export { ChatError, type ErrorCode, errorOf, type Failure, type FailureCode, isChatError } from './errors.ts';
export { indexedDbOutbox, localStorageOutbox } from './outboxStore.ts';
export type {
  ChatState,
  ChatStream,
  Document,
  Outbox,
  OutboxEntry,
  OutboxStore,
  RequestOptions,
  Result,
  SendInput,
  SentMessage,
  StateListener,
  StreamOptions,
};

export interface ChatClientOptions extends SessionOptions {
  /** Where the API is, such as `https://chat.example/graphql`; on a page of the same server, `/graphql`. */
  url: string;
  /** Another `fetch`, such as one that sends cookies to another origin. */
  fetch?: typeof fetch;
  /** Where there is no global `WebSocket`, as in Node before 22: that of the package ws. */
  webSocketImpl?: unknown;
  /** Where messages are kept until they are sent, so that they survive a reload. In memory only if it is left out. */
  outboxStore?: OutboxStore;
  /** Told how things stand, each time that changes. */
  onState?: StateListener;
}

export interface ChatClient {
  /**
   * A query or mutation, with data and errors as they come. Throws only where there is no answer.
   *
   * `sendMessage` with a `clientMessageId` is sent after the earlier messages of its room, and again until there is an answer,
   * unless `retry` is false.
   */
  request<Data = any, Variables = any>(
    document: Document<Data, Variables>,
    variables: Variables,
    options?: RequestOptions,
  ): Promise<Result<Data>>;
  /** A query or mutation. Throws {@link ChatError} for an answer with errors, and where there is none. */
  execute<Data = any, Variables = any>(
    document: Document<Data, Variables>,
    variables: Variables,
    options?: RequestOptions,
  ): Promise<Data>;
  /** A subscription, which begins at once and comes back by itself, with nothing lost and nothing twice. */
  subscribe<Data = any, Variables = any>(
    document: Document<Data, Variables>,
    variables: Variables,
    options?: StreamOptions,
  ): ChatStream<Data>;
  /** Sends a message through the outbox, again and again where there is no answer: it is stored once. */
  send(input: SendInput, options?: Pick<RequestOptions, 'signal'>): Promise<SentMessage>;
  /** Messages that are not stored on the server yet. */
  readonly outbox: Outbox;
  readonly state: ChatState;
  /** Tells a listener of each change; answers a function that ends it. */
  onState(listener: StateListener): () => void;
  /** Ends all streams, the socket and what is being asked. */
  close(): void;
}

/** A client of one Parley server, for one viewer. */
export function createChatClient(options: ChatClientOptions): ChatClient {
  const { href } = new URL(options.url, (globalThis as { location?: { href: string } }).location?.href);
  const closing = new AbortController();
  const closed = closing.signal;
  const session = createSession(href, options);
  const request = createRequest({ url: href, session, closed, fetch: options.fetch ?? ((...args) => fetch(...args)) });
  const socket = createSocket({
    ...{ url: href.replace(/^http/, 'ws'), session, closed },
    ...{ webSocketImpl: options.webSocketImpl, onState: options.onState },
  });
  const queue = new SendQueue(closed);
  const outbox = new StoredOutbox({ queue, request, store: options.outboxStore, closed });
  socket.onState((state) => {
    queue.onState(state);
    if (state === 'live') outbox.adopt();
  });
  onOnline(closed, () => {
    queue.wake();
    outbox.adopt();
  });

  const client: ChatClient = {
    async request(document, variables, requestOptions) {
      const text = textOf(document);
      const { signal, retry } = requestOptions ?? {};
      const targets = sendTargetsOf(document, variables as Record<string, unknown>);
      if (targets.length === 0) return (await request(text, variables as object, requestOptions)) as Result<never>;
      const attempt: Attempt = (attemptSignal) => request(text, variables as object, { signal: attemptSignal });
      const rooms = targets.map(({ chatroomId }) => chatroomId);
      const mayRetry = retry !== false && targets.every(({ isNamed }) => isNamed);
      return (await queue.add(rooms, attempt, { retry: mayRetry, signal })) as Result<never>;
    },
    async execute(document, variables, requestOptions) {
      const { data, errors } = await client.request(document, variables, requestOptions);
      if (errors?.length || data == null) throw failed(errors ?? []);
      return data;
    },
    subscribe(document, variables, streamOptions = {}) {
      closed.throwIfAborted();
      return createStream({ socket, closed }, textOf(document), variables as Record<string, unknown>, streamOptions);
    },
    outbox,
    send: (input, sendOptions) => outbox.send(input, sendOptions),
    get state() {
      return socket.state;
    },
    onState: (listener) => socket.onState(listener),
    close() {
      closing.abort(new ChatError({ code: 'CLOSED', message: 'The client was closed.' }));
    },
  };
  return client;
}
