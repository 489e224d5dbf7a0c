import { isIP } from 'node:net';
import type { Config } from './config/settings.ts';

/** Returns true for an origin on the browser's own machine: localhost, 127.0.0.1 or [::1]. */
export function isLocalOrigin(origin: string): boolean {
  return /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/.test(origin);
}

const MALFORMED = 'The Host header is malformed. Send the name of this server, such as localhost:4000.';
const FOREIGN = 'In development, the server refuses this host name. Use localhost or an IP address, or set PUBLIC_URL.';

/**
 * Returns the reason to refuse a request with this `Host` header, or null to accept the request.
 *
 * A malformed header is refused, because it makes HTTP libraries respond with a stack trace. In development, only
 * localhost, IP addresses and the hosts in HOST and PUBLIC_URL are accepted. Otherwise a web page could use DNS
 * rebinding to read the data of the demo account. In production, the proxy decides which host names reach the server.
 */
export function refusedHost(config: Config, host: string | undefined): string | null {
  // DNS rebinding needs a browser, and browsers always send the header. HTTP/1.0 clients may omit it.
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
