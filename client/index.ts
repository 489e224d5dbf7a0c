import { type Document, sendTargetsOf, textOf } from './document.ts';
import { ChatError, failed } from './errors.ts';
import { createFileUrls } from './fileUrls.ts';
import { createRequest, type RequestOptions, type Result } from './http.ts';
import { type Outbox, type OutboxEntry, StoredOutbox } from './outbox.ts';
import type { OutboxStore } from './outboxStore.ts';
import type { SendInput, SentMessage } from './send.ts';
import { type Attempt, SendQueue } from './sendQueue.ts';
import { createSendRequest } from './sendRequest.ts';
import { createSession, type SessionOptions } from './session.ts';
import { type ChatState, Socket, type StateListener } from './socket.ts';
import { type ChatStream, createStream, type StreamOptions } from './stream.ts';
import { createUploader, type Upload, type UploadedFile, type UploadOptions, type UploadProgress } from './uploads.ts';
import { onOnline, onStorage, onVisible } from './wait.ts';

export { ChatError, type ErrorCode, errorOf, type Failure, type FailureCode, isChatError } from './errors.ts';
export { indexedDbOutbox, localStorageOutbox } from './outboxStore.ts';
export { createPending, type PendingMessages } from './pending.ts';
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
  UploadedFile,
  UploadOptions,
  UploadProgress,
};

export interface ChatClientOptions extends SessionOptions {
  /** URL of the API, such as `https://chat.example/graphql`. A page of the same server can pass `/graphql`. */
  url: string;
  /** Replaces the global `fetch`, for example to send cookies to another origin. */
  fetch?: typeof fetch;
  /**
   * WebSocket class if there is no global one, as in Node before 22. Pass the `WebSocket` class of the package `ws`.
   */
  webSocketImpl?: unknown;
  /**
   * Stores messages until they are sent, so that they survive a reload. By default, messages are kept in memory only.
   */
  outboxStore?: OutboxStore;
  /**
   * Called each time an access to the store fails or takes longer than 3 s. The message is then kept in memory only.
   * After a timeout, the client does not access the store for 30 s. Later it adds the missing messages to the store.
   */
  onOutboxStoreError?: (error: unknown) => void;
  /** Called after each change of the connection state. */
  onState?: StateListener;
}

/** All functions can be passed on without the object. */
export interface ChatClient {
  /**
   * Sends a query or mutation. Returns data and errors as the server sent them.
   *
   * A `sendMessage` mutation is sent after the earlier messages of its room. If the message has a `clientMessageId`,
   * the mutation is retried until there is a response, unless `retry` is false. It is then sent over the socket while the
   * socket is open. All other operations are sent over HTTP.
   *
   * @throws ChatError `UNREACHABLE` if there is no response
   */
  readonly request: <Data = any, Variables = any>(
    document: Document<Data, Variables>,
    variables: Variables,
    options?: RequestOptions,
  ) => Promise<Result<Data>>;
  /**
   * Sends a query or mutation and returns its data. The type of the data is that of codegen's document. It is `any` for
   * a text, unless you pass it: `execute<{ viewer: { id: string } }>(text, {})`.
   *
   * @throws ChatError with the server's code if the response has errors, or `UNREACHABLE` if there is no response
   */
  readonly execute: <Data = any, Variables = any>(
    document: Document<Data, Variables>,
    variables: Variables,
    options?: RequestOptions,
  ) => Promise<Data>;
  /**
   * Starts a subscription, and restarts it after each interruption. `messageAdded` and `chatroomEvents` continue after
   * the last event: no event is lost or repeated.
   */
  readonly subscribe: <Data = any, Variables = any>(
    document: Document<Data, Variables>,
    variables: Variables,
    options?: StreamOptions,
  ) => ChatStream<Data>;
  /**
   * Sends a message through the outbox and retries until there is a response. The server stores the message only once.
   */
  readonly send: (input: SendInput, options?: Pick<RequestOptions, 'signal'>) => Promise<SentMessage>;
  /**
   * Uploads a file: announces it, sends its bytes, and lets the server check them. Each step is retried while the
   * connection or the server is away, and the bytes are sent again if the server lacks them or their URL has expired.
   * Send the returned attachment with `attachmentIds` of a message, or set it as an avatar.
   *
   * A browser reads the file into memory to hash it. Node reads it in chunks: pass `await openAsBlob(path)`.
   *
   * @throws ChatError `BAD_USER_INPUT`, for example for a file that is too large; `LIMIT_REACHED` if the viewer has no
   *   storage left; `FORBIDDEN` if the server stores no files; `CONFLICT` if other bytes than the announced ones arrive
   *   again and again; `UNREACHABLE` if the server responds, but the bytes cannot be sent
   * @throws DOMException `AbortError` if the signal fires
   */
  readonly upload: Upload;
  /**
   * Returns the absolute URL of a file of the server, for example for `<img src>`. Pass `Attachment.url` or
   * `Image.url`. The URL contains the viewer's ticket (`Viewer.fileTicket`), unless a cookie authenticates the page. All
   * URLs share one ticket, which is renewed when it is about to expire, and after another sign-in. A URL works for at
   * least 5 minutes: call the function when you show a file, and do not store its result. Waits while the server is
   * away.
   *
   * A URL of another server is returned unchanged.
   *
   * @throws ChatError `UNAUTHENTICATED` if the viewer is signed out
   */
  readonly fileUrl: (url: string) => Promise<string>;
  /** Messages that the server has not stored yet. */
  readonly outbox: Outbox;
  readonly state: ChatState;
  /** Calls the listener after each change of the state. Returns a function that removes the listener. */
  readonly onState: (listener: StateListener) => () => void;
  /** Closes the socket, ends all streams and cancels pending requests. */
  readonly close: () => void;
}

/**
 * Creates a client of one Parley server, for one viewer.
 *
 * @throws TypeError if the URL is missing. A page would otherwise connect to its own `/undefined`.
 */
export function createChatClient(options: ChatClientOptions): ChatClient {
  if (!options.url)
    throw new TypeError('"url" is missing. Set the URL of the API, such as https://chat.example.org/graphql.');
  const { href } = new URL(options.url, (globalThis as { location?: { href: string } }).location?.href);
  const closing = new AbortController();
  const closed = closing.signal;
  const session = createSession(href, options);
  const send: typeof fetch = options.fetch ?? ((...args) => fetch(...args));
  const request = createRequest({
    ...{ url: href, session, closed, fetch: send },
    onRefused: () => void socket.endWithoutToken(),
  });
  const socket = new Socket({
    ...{ url: href.replace(/^http/, 'ws'), session, closed },
    ...{ webSocketImpl: options.webSocketImpl, onState: options.onState },
  });
  const sendRequest = createSendRequest({ socket, session, request });
  const queue = new SendQueue(closed);
  const outbox = new StoredOutbox({
    ...{ queue, request, sendRequest, closed },
    ...{ store: options.outboxStore, onStoreError: options.onOutboxStoreError },
  });
  socket.onState((state) => {
    queue.onState(state);
    if (state === 'live') outbox.adopt();
  });
  onOnline(closed, () => {
    queue.wake();
    outbox.adopt();
  });
  const endWithoutToken = () => void socket.endWithoutToken();
  // The browser may have suspended the page, so that it missed changes by other tabs.
  const ignorePage = onVisible(() => {
    outbox.adopt();
    endWithoutToken();
  });
  closed.addEventListener('abort', ignorePage);
  onStorage(closed, endWithoutToken);

  const client: ChatClient = {
    async request(document, variables, requestOptions) {
      const text = textOf(document);
      const { signal, retry, onSend } = requestOptions ?? {};
      const targets = sendTargetsOf(document, variables as Record<string, unknown>);
      if (targets.length === 0) return (await request(text, variables as object, requestOptions)) as Result<never>;
      const rooms = targets.map(({ chatroomId }) => chatroomId);
      const mayRetry = retry !== false && targets.every(({ isNamed }) => isNamed);
      // If the socket closes before the result, only a request that may be repeated gets one.
      const attempt: Attempt = (attemptSignal) => {
        onSend?.();
        return mayRetry
          ? sendRequest(text, variables as object, attemptSignal)
          : request(text, variables as object, { signal: attemptSignal });
      };
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
    send: outbox.send,
    upload: createUploader({ url: href, request, fetch: send, closed }),
    fileUrl: createFileUrls({ url: href, session, request }),
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
