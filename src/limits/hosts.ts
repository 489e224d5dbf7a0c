import { isIP } from 'node:net';
import type { Config } from '../config.ts';

/** Whether an origin is a page that is served by the same machine as its browser runs on. */
export function isLocalOrigin(origin: string): boolean {
  return /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/.test(origin);
}

const MALFORMED = 'The Host header is malformed. Send the name of this server, such as localhost:4000.';
const FOREIGN =
  'This server does not answer to this name in development. Use localhost or an IP address, or set PUBLIC_URL.';

/**
 * Why a request with this `Host` header is refused; null if it may pass.
 *
 * Libraries below build a URL from the header and answer with a stack trace if that fails. In development, only names that
 * an attacker cannot point at this machine are accepted: with DNS rebinding, a page of any site could otherwise read what
 * the demo account sees. In production the proxy decides which names reach the server.
 */
export function refusedHost(config: Config, host: string | undefined): string | null {
  // Browsers always send the header; HTTP/1.0 clients may leave it out.
  if (host === undefined) return null;
  if (!/^[\w.:[\]-]+$/.test(host) || !URL.canParse(`http://${host}`)) return MALFORMED;
  if (config.NODE_ENV === 'production') return null;
  const { hostname } = new URL(`http://${host}`);
  const isSafe =
    isIP(hostname.replace(/^\[|\]$/g, '')) > 0 ||
    /(^|\.)localhost$/.test(hostname) ||
    hostname === config.HOST ||
    (config.PUBLIC_URL !== undefined && hostname === new URL(config.PUBLIC_URL).hostname);
  return isSafe ? null : FOREIGN;
}
