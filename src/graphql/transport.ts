import type { IncomingMessage, ServerResponse } from 'node:http';
import type { DocumentNode } from 'graphql';
import { clientInfo } from '../auth/sessions.ts';
import { addressOf } from '../core/clientAddress.ts';
import type { Config } from '../core/config/settings.ts';
import type { ClientInfo } from '../core/context.ts';
import { createUuid } from '../core/globalIds.ts';
import { openCookieJar } from './cookies.ts';
import type { RequestCredentials } from './operation.ts';
import { allowsOrigin } from './origins.ts';
import { isRequestId } from './plugins/errorMask.ts';

/** Path of the API over HTTP, SSE and WebSocket. */
export const PATH = '/graphql';

/** The parts of an HTTP request that operations read. An open WebSocket retains them of its handshake. */
export type RequestHead = Pick<IncomingMessage, 'headers' | 'method' | 'socket'>;

/** The HTTP request or WebSocket that an operation arrived on. */
export interface Transport {
  incoming: RequestHead;
  /** Null over WebSocket. */
  response: ServerResponse | null;
  /** The `authorization` parameter of a WebSocket. */
  authorization?: unknown;
  /** The document of the operation, after it has been parsed. */
  document?: DocumentNode;
}

/**
 * Returns the credential of a request. Cookies are used only if the request comes from an allowed page or from no page.
 */
export function credentialOf(config: Config, { incoming, response, authorization }: Transport) {
  const { headers } = incoming;
  const secure = config.PUBLIC_URL?.startsWith('https:') ?? false;
  const jar = openCookieJar(headers.cookie, { path: PATH, secure }, (cookie) => {
    response?.appendHeader('set-cookie', cookie);
  });
  const trusted = mayUseCookies(config, incoming);
  const cookieToken = trusted && jar.accessToken !== null ? `Bearer ${jar.accessToken}` : undefined;
  return { authorization: authorization ?? headers.authorization ?? cookieToken, jar, trusted };
}

/** Returns the credentials of an operation, and adds its request id to the response headers. */
export function readCredentials(config: Config, transport: Transport): RequestCredentials {
  const { incoming, response } = transport;
  const { authorization, jar, trusted } = credentialOf(config, transport);
  // A proxy may have set a request id. Parley uses the same id, so that operators find the request in both logs.
  const proxyRequestId = incoming.headers['x-request-id'];
  const requestId = isRequestId(proxyRequestId) ? proxyRequestId : createUuid();
  response?.setHeader('x-request-id', requestId);
  return {
    authorization,
    client: clientOf(config, incoming),
    // Over WebSocket each operation gets its own id, because many operations arrive through one upgrade request.
    requestId: response ? requestId : undefined,
    onDisconnect: response && ((listener) => onClose(response, listener)),
    cookies: response && (trusted ? jar : { ...jar, refreshToken: null, deviceToken: null, mayStore: false }),
  };
}

/**
 * Returns the address and device of a client. Addresses in `X-Forwarded-For` are used only if a trusted proxy has added
 * them.
 */
export function clientOf(config: Config, { headers, socket }: RequestHead): ClientInfo {
  const address = addressOf(socket.remoteAddress, headers['x-forwarded-for']?.toString(), config.TRUSTED_PROXIES);
  return clientInfo(address, headers['user-agent']);
}

/**
 * Returns whether a request comes from an allowed page, or from no page at all.
 *
 * Browsers send the Origin header with each POST and each WebSocket. A GET or HEAD without that header is allowed. A POST
 * without that header is allowed only if its body is JSON, because browsers send a CORS preflight before a JSON request
 * to another site.
 */
function mayUseCookies(config: Config, { headers, method }: RequestHead): boolean {
  if (headers.origin !== undefined) return allowsOrigin(config, headers.origin, headers.host);
  return method === 'GET' || method === 'HEAD' || (headers['content-type']?.startsWith('application/json') ?? false);
}

/**
 * Calls a function when a response closes, or in a microtask if the response is already closed. Returns a function that
 * removes the listener.
 */
function onClose(response: ServerResponse, listener: () => void): () => void {
  if (response.destroyed) queueMicrotask(listener);
  response.once('close', listener);
  return () => response.off('close', listener);
}
