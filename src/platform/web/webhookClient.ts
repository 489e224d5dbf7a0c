import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { version } from '../../core/version.ts';
import { isPublicAddress } from './addresses.ts';
import { createAllowedHosts } from './allowedHosts.ts';
import { createCheckedLookup } from './checkedLookup.ts';

/** Maximum length of a URL in characters. */
const MAX_URL_CHARACTERS = 2_048;
/** Number of bytes of a response that are read to keep its connection. A longer response closes the connection. */
const MAX_RESPONSE_BYTES = 64 * 1_024;
/** Time for which an idle connection is kept, in milliseconds. Shorter than the 5 s after which Node.js servers close it. */
const KEEP_ALIVE_MS = 4_000;
/** Maximum number of idle connections of a node to one receiver. */
const MAX_IDLE_SOCKETS = 8;

/** Options of the client. Production must use the defaults. */
export interface WebhookClientOptions {
  /** Maximum duration of a request in milliseconds. 10 s if omitted. */
  timeoutMs?: number;
  /** DNS servers that resolve host names. Those of the system if omitted. */
  dnsServers?: readonly string[];
}

/** A request to a receiver. */
export interface WebhookRequest {
  headers: Record<string, string>;
  body: string;
  /** Maximum duration in milliseconds, instead of that of the client. */
  timeoutMs?: number;
  /** Ends the request early. */
  signal?: AbortSignal;
}

/** Outcome of a request to a receiver. */
export interface WebhookResponse {
  /** Status of the response. Null if there was none. */
  status: number | null;
  /** Reason of the failure as a sentence. Null for a status from 200 to 299. */
  error: string | null;
  /** Duration in milliseconds. */
  ms: number;
  /** Time of the header `Retry-After` in milliseconds. Null if there was none. */
  retryAfterMs: number | null;
}

/** Sends requests to the receivers of webhooks. */
export interface WebhookClient {
  /** Returns why the URL cannot be the receiver of a webhook, as a sentence, or null if it can. */
  refusalOf(url: string): string | null;
  /** Sends a POST. Never rejects, and follows no redirect. */
  post(url: string, request: WebhookRequest): Promise<WebhookResponse>;
  /** Closes idle connections. */
  close(): void;
}

/**
 * Creates a client for URLs that services choose. Like link previews, it connects to public addresses only, and checks
 * the address in the lookup of the socket. A name can therefore not change its address between check and connection.
 *
 * @param allowed entries of WEBHOOK_ALLOW, which lists the operator's own receivers
 */
export function createWebhookClient(allowed: readonly string[], options: WebhookClientOptions = {}): WebhookClient {
  const { timeoutMs = 10_000 } = options;
  const hosts = createAllowedHosts(allowed);
  const allowsAddress = (address: string) => isPublicAddress(address) || hosts.allowsAddress(address);
  const checkedLookup = createCheckedLookup(allowsAddress, options.dnsServers);
  // Names that the operator lists are looked up by the system, which also knows the names of containers.
  const lookup: LookupFunction = (hostname, lookupOptions, callback) => {
    if (hosts.allowsName(hostname)) systemLookup(hostname, lookupOptions, callback);
    else checkedLookup(hostname, lookupOptions, callback);
  };
  // A connection is used again only for the same host name, whose address was checked when it was opened.
  const agentOptions = { keepAlive: true, maxFreeSockets: MAX_IDLE_SOCKETS, timeout: KEEP_ALIVE_MS };
  const agents = { 'http:': new HttpAgent(agentOptions), 'https:': new HttpsAgent(agentOptions) };

  function refusalOf(text: string): string | null {
    if (text.length > MAX_URL_CHARACTERS) return `A URL has at most ${MAX_URL_CHARACTERS} characters. Shorten it.`;
    if (!URL.canParse(text)) return 'This is not a URL. Send one such as https://shop.example.org/parley.';
    const { protocol, hostname, username, password, hash } = new URL(text);
    if (protocol !== 'https:' && protocol !== 'http:') return 'The URL must begin with https://.';
    if (username !== '' || password !== '') return 'The URL must not contain a password. Verify the signature instead.';
    if (hash !== '') return 'The URL must not contain a fragment. Remove the part from # on.';
    const host = hostname.replace(/^\[|\]$/g, '');
    const isOwn = isIP(host) > 0 ? hosts.allowsAddress(host) : hosts.allowsName(host);
    if (isIP(host) > 0 && !allowsAddress(host))
      return 'The server may not connect to this address. Ask the operator to add it to WEBHOOK_ALLOW.';
    // The body contains messages, so it must not cross the public network in clear text.
    return protocol === 'http:' && !isOwn
      ? 'The URL must begin with https://. Plain http is allowed for hosts that the operator lists in WEBHOOK_ALLOW.'
      : null;
  }

  function send(url: URL, headers: Record<string, string>, body: string, signal: AbortSignal) {
    const request = url.protocol === 'https:' ? requestHttps : requestHttp;
    const agent = agents[url.protocol as keyof typeof agents];
    const sent: ClientRequest = request(url, { method: 'POST', agent, headers, lookup, signal });
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      sent.on('response', resolve).on('error', reject);
      // After 101 Switching Protocols, there is neither a response nor an error.
      sent.on('close', () => {
        reject(new Error('The connection was closed before a response.'));
      });
    });
    sent.end(body);
    return { sent, response };
  }

  async function request(url: URL, headers: Record<string, string>, body: string, signal: AbortSignal) {
    const { sent, response } = send(url, headers, body, signal);
    try {
      return await discard(await response, signal);
    } catch (error) {
      // The receiver may close an idle connection while the request is on its way. A retry of an event is harmless.
      if (signal.aborted || !sent.reusedSocket) throw error;
      return discard(await send(url, headers, body, signal).response, signal);
    }
  }

  return {
    refusalOf,
    async post(url, { headers, body, timeoutMs: ms = timeoutMs, signal: stop }) {
      const startedAt = performance.now();
      const took = () => Math.round(performance.now() - startedAt);
      const failed = (error: string): WebhookResponse => ({ status: null, error, ms: took(), retryAfterMs: null });
      // Checked for each request, because WEBHOOK_ALLOW may have changed.
      const refusal = refusalOf(url);
      if (refusal !== null) return failed(refusal);
      const all = {
        'content-type': 'application/json; charset=utf-8',
        'content-length': String(Buffer.byteLength(body)),
        'user-agent': `Parley/${version} (webhook)`,
        ...headers,
      };
      const timeout = AbortSignal.timeout(ms);
      const signal = stop ? AbortSignal.any([stop, timeout]) : timeout;
      try {
        const { statusCode = 0, headers: received } = await request(new URL(url), all, body, signal);
        const retryAfter = Number(received['retry-after'] ?? NaN);
        return {
          status: statusCode,
          error: errorOf(statusCode),
          ms: took(),
          retryAfterMs: Number.isFinite(retryAfter) ? retryAfter * 1_000 : null,
        };
      } catch (error) {
        return failed(
          timeout.aborted
            ? `The receiver did not respond within ${ms / 1_000} s.`
            : reasonOf(error as NodeJS.ErrnoException),
        );
      }
    },
    close() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

/** Reads and ignores the body, so that the connection can be used again. Resolves at the end of the body. */
async function discard(response: IncomingMessage, signal: AbortSignal): Promise<IncomingMessage> {
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      // The status is known. Leaving the loop closes the connection.
      if (bytes > MAX_RESPONSE_BYTES) break;
    }
  } catch (error) {
    // A receiver that closes the connection within the body has answered; one that hangs has not.
    if (signal.aborted) throw error;
  }
  return response;
}

function errorOf(status: number): string | null {
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400)
    return `The receiver redirects with status ${status}. Set the URL of the webhook to the target of the redirect.`;
  return `The receiver responded with status ${status}.`;
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  const reason = code === undefined || message.includes(code) ? message : `${code}, ${message}`;
  return `The request failed: ${reason.replace(/\.$/, '')}.`;
}
