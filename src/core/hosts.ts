import { isIP } from 'node:net';
import type { Config } from './config/settings.ts';

/** Returns true if the pages of an origin are served by the machine on which the browser runs. */
export function isLocalOrigin(origin: string): boolean {
  return /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/.test(origin);
}

const MALFORMED = 'The Host header is malformed. Send the name of this server, such as localhost:4000.';
const FOREIGN = 'In development, the server refuses this host name. Use localhost or an IP address, or set PUBLIC_URL.';

/**
 * Returns the reason to refuse a request with this `Host` header, or null to accept it.
 *
 * A malformed header is refused, because HTTP libraries build a URL from the header and respond with a stack trace if
 * that fails. In development, only names that an attacker cannot point at this machine are accepted. Otherwise a page
 * of any site could use DNS rebinding to read what the demo account sees. In production the proxy decides which names
 * reach the server.
 */
export function refusedHost(config: Config, host: string | undefined): string | null {
  // Browsers always send the header. HTTP/1.0 clients may omit it.
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
