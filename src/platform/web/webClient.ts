import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { pipeline, type Readable } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { version } from '../../core/version.ts';
import { OperationSlots } from '../rateLimits/slots.ts';
import { isPublicAddress } from './addresses.ts';
import { createCheckedLookup } from './checkedLookup.ts';

/** Maximum number of redirects that a request follows. */
const MAX_REDIRECTS = 3;
/** Maximum number of concurrent requests of a node. */
const MAX_REQUESTS = 8;
/** Maximum time that a request waits for others, in milliseconds. With the timeout, an operation stays below 10 s. */
const MAX_WAIT_MS = 3_000;
/** Maximum length of a URL in characters. Longer URLs are not requested. */
const MAX_URL_CHARACTERS = 2_048;

/** Options of the client. Production must use the defaults, which no setting can change. */
export interface WebOptions {
  /** DNS servers that resolve host names, such as `127.0.0.1:53`. Those of the system if omitted. */
  dnsServers?: readonly string[];
  /** Returns whether the client may connect to an IP address. {@link isPublicAddress} if omitted. */
  allowsAddress?: (address: string) => boolean;
  /** Ports to which the client may connect. 80 and 443 if omitted. */
  ports?: readonly number[];
  /** Maximum duration of a request with its redirects, in milliseconds. The body counts. 5 s if omitted. */
  timeoutMs?: number;
}

/** A successful response. */
export interface WebResponse {
  /** URL after the redirects. */
  url: URL;
  /** Header `Content-Type`; an empty text if it is missing. */
  contentType: string;
  /** Decompressed body. Ends after `maxBytes`. */
  body: AsyncIterable<Buffer>;
}

/** Options of a request. */
interface WebRequest {
  /** Header `Accept`. */
  accept: string;
  /** Maximum size of the body, in bytes, before and after decompression. Later bytes are not read. */
  maxBytes: number;
}

/** Requests resources of other servers. */
export interface WebClient {
  /** Returns the normalised form of a URL, without its fragment. Null if the client may not request the URL. */
  normalize(url: string): string | null;
  /**
   * Requests a resource, and passes the response to `read`.
   *
   * @returns the result of `read`; null if the URL is not allowed or the request fails. Does not return the reason,
   *   because users could otherwise explore the network of the server.
   * @throws ChatError `RATE_LIMITED` if too many requests are running
   */
  get<Result>(
    url: string,
    request: WebRequest,
    read: (response: WebResponse) => Promise<Result>,
  ): Promise<Result | null>;
}

/**
 * Creates a client that requests resources whose URLs users choose. The client must not reach the server's own network,
 * so it connects to public addresses only. It checks the address in the lookup of the socket. A check before the lookup
 * would not be enough, because the name may have another address a moment later (DNS rebinding).
 *
 * Sends no cookies, and ignores proxies of the environment.
 */
export function createWebClient(options: WebOptions = {}): WebClient {
  const { allowsAddress = isPublicAddress, ports = [80, 443], timeoutMs = 5_000 } = options;
  const slots = new OperationSlots({ operations: 0, operationsWaiting: 0 });
  const lookup = createCheckedLookup(allowsAddress, options.dnsServers);

  /** Returns the URL if the client may request it, otherwise null. The address of a host name is checked later. */
  function parseUrl(text: string, base?: URL): URL | null {
    if (text.length > MAX_URL_CHARACTERS || !URL.canParse(text, base)) return null;
    const url = new URL(text, base);
    url.hash = '';
    // Percent-encoding makes a URL longer.
    if (url.href.length > MAX_URL_CHARACTERS) return null;
    if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return null;
    const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
    // Node.js connects to an IP address without a lookup. `URL` has converted decimal, octal and hexadecimal notations.
    const host = url.hostname.replace(/^\[|\]$/g, '');
    return ports.includes(port) && (isIP(host) === 0 || allowsAddress(host)) ? url : null;
  }

  async function follow(start: string, accept: string, signal: AbortSignal) {
    let url = parseUrl(start);
    for (let redirects = 0; url && redirects <= MAX_REDIRECTS; redirects += 1) {
      const response = await respond(url, { accept, signal, lookup });
      const { statusCode = 0, headers } = response;
      if (statusCode >= 200 && statusCode < 300) return { url, response };
      response.destroy();
      url = isRedirect(statusCode) && headers.location !== undefined ? parseUrl(headers.location, url) : null;
    }
    return null;
  }

  return {
    normalize: (text) => parseUrl(text)?.href ?? null,
    async get(text, { accept, maxBytes }, read) {
      if (!parseUrl(text)) return null;
      const wait = { key: 'web', max: MAX_REQUESTS, maxWaitMs: MAX_WAIT_MS, isDisconnected: () => false };
      const release = await slots.acquire(wait);
      try {
        const found = await follow(text, accept, AbortSignal.timeout(timeoutMs));
        if (!found) return null;
        const { url, response } = found;
        try {
          const contentType = response.headers['content-type'] ?? '';
          return await read({ url, contentType, body: bodyOf(response, maxBytes) });
        } finally {
          response.destroy();
        }
      } catch {
        return null;
      } finally {
        release();
      }
    },
  };
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

/** Sends a request. Returns the response as soon as its headers have arrived. */
function respond(
  url: URL,
  { accept, signal, lookup }: { accept: string; signal: AbortSignal; lookup: LookupFunction },
): Promise<IncomingMessage> {
  const headers = {
    accept,
    'accept-encoding': 'gzip, deflate, br',
    'user-agent': `Parley/${version} (link preview bot)`,
  };
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    // Without an agent, each request has its own socket, and thus its own checked lookup.
    const request: ClientRequest = send(url, { agent: false, headers, lookup, signal });
    const onClose = () => {
      reject(new Error('The connection was closed before a response.'));
    };
    // After 101 Switching Protocols, there is neither a response nor an error.
    request.on('response', resolve).on('error', reject).on('close', onClose).end();
  });
}

/** Returns the decompressed body, at most `maxBytes`. Reads at most `maxBytes` from the network. */
function bodyOf(response: IncomingMessage, maxBytes: number): AsyncIterable<Buffer> {
  const decompress = decompressionOf(response.headers['content-encoding']);
  const received = firstBytes(response, maxBytes);
  return decompress
    ? firstBytes(
        pipeline(received, decompress, () => undefined),
        maxBytes,
      )
    : received;
}

/**
 * Returns a decompressor, or null if the body is not compressed. A body that was cut off is no error: the decompressor
 * returns what it has.
 *
 * @throws Error for an encoding that was not asked for
 */
function decompressionOf(encoding = 'identity'): (Readable & NodeJS.WritableStream) | null {
  switch (encoding.trim().toLowerCase()) {
    case 'identity':
    case '':
      return null;
    case 'gzip':
    case 'x-gzip':
      return createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
    case 'deflate':
      return createInflate({ finishFlush: constants.Z_SYNC_FLUSH });
    case 'br':
      return createBrotliDecompress({ finishFlush: constants.BROTLI_OPERATION_FLUSH });
    default:
      throw new Error('The response has an encoding that was not asked for.');
  }
}

async function* firstBytes(source: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let left = maxBytes;
  for await (const chunk of source) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}
