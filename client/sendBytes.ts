import { ChatError, unreachable } from './errors.ts';
import { withAbortSignal } from './wait.ts';

/** The request with which the bytes of an upload are sent. */
export interface BytesRequest {
  method: string;
  url: string;
  headers: readonly { name: string; value: string }[];
}

interface SendOptions {
  fetch: typeof fetch;
  /** Called with the number of bytes that were passed to the network. */
  onSent: (bytes: number) => void;
  signals: readonly AbortSignal[];
}

/** Time after which the server closes the connection of an upload. The URL need only be valid when the request begins. */
const MAX_UPLOAD_MS = 6 * 3_600_000;
/** Time without any bytes sent, after which the connection counts as lost. Includes the wait for the response. */
const STALL_TIMEOUT_MS = 60_000;

/** Thrown if the bytes of an upload were refused. The code is `UNREACHABLE`. */
export class RefusedBytes extends ChatError {
  /** Status of the response. */
  readonly status: number;

  constructor(status: number, advice = 'Try again in a moment.') {
    super({ code: 'UNREACHABLE', message: `The file was not accepted (HTTP ${status}). ${advice}` });
    this.status = status;
  }
}

/**
 * Sends a file to the URL of an upload.
 *
 * @throws ChatError `UNREACHABLE` if there is no response; `RefusedBytes` if the response is a refusal
 */
export async function sendBytes(request: BytesRequest, file: Blob, options: SendOptions): Promise<void> {
  const { signals, onSent } = options;
  const stalled = new AbortController();
  const abort = () => {
    stalled.abort();
  };
  let timer = setTimeout(abort, STALL_TIMEOUT_MS);
  const onBytes = (bytes: number) => {
    clearTimeout(timer);
    timer = setTimeout(abort, STALL_TIMEOUT_MS);
    onSent(bytes);
  };
  const send = typeof XMLHttpRequest === 'undefined' ? sendByFetch : sendByXhr;
  let status = 0;
  try {
    status = await withAbortSignal(MAX_UPLOAD_MS, [...signals, stalled.signal], (signal) =>
      send(request, file, { fetch: options.fetch, onSent: onBytes, signal }),
    );
  } catch (error) {
    for (const signal of signals) signal.throwIfAborted();
    throw unreachable('The file cannot be sent. Check the connection and try again.', error);
  } finally {
    clearTimeout(timer);
  }
  if (status < 200 || status > 299) throw new RefusedBytes(status);
}

type Send = (
  request: BytesRequest,
  file: Blob,
  options: Pick<SendOptions, 'fetch' | 'onSent'> & { signal: AbortSignal },
) => Promise<number>;

/** Sends a file from a page or a web worker. `fetch` of browsers does not report progress. */
const sendByXhr: Send = ({ method, url, headers }, file, { onSent, signal }) =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const xhr = new XMLHttpRequest();
    xhr.open(method, url);
    for (const { name, value } of headers) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = ({ loaded }) => {
      onSent(loaded);
    };
    xhr.onload = () => {
      resolve(xhr.status);
    };
    xhr.onerror = xhr.onabort = () => {
      reject(new TypeError('The request failed.'));
    };
    signal.addEventListener('abort', () => {
      xhr.abort();
    });
    xhr.send(file);
  });

/** Sends a file from Node, and counts the bytes that the connection takes. */
const sendByFetch: Send = async ({ method, url, headers }, file, { fetch, onSent, signal }) => {
  let sent = 0;
  const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      controller.enqueue(chunk);
      onSent((sent += chunk.length));
    },
  });
  // Object stores refuse a request without its length.
  const allHeaders = [...headers, { name: 'content-length', value: String(file.size) }];
  const init: RequestInit & { duplex: 'half' } = {
    ...{ method, signal, duplex: 'half', body: file.stream().pipeThrough(counter) },
    headers: Object.fromEntries(allHeaders.map(({ name, value }) => [name, value])),
  };
  const response = await fetch(url, init);
  await response.body?.cancel();
  return response.status;
};
