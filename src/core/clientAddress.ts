import { isIPv4, isIPv6 } from 'node:net';
import type { Logger } from 'pino';

/**
 * Returns the address of a request's client. Each proxy appends the address of its caller to `X-Forwarded-For`. With
 * two trusted proxies, the second to last entry is the client. A client can forge only the entries before that entry.
 *
 * @param remote address of the connection's other end; used if `trusted` is 0 or the entry is missing or invalid
 * @param forwarded value of `X-Forwarded-For`
 * @param trusted number of the operator's proxies that a request has passed
 */
export function addressOf(
  remote: string | undefined,
  forwarded: string | undefined,
  trusted: number,
): string | undefined {
  const entry = trusted > 0 ? forwarded?.split(',').at(-trusted) : undefined;
  return parseAddress(entry) ?? parseAddress(remote);
}

/**
 * Returns the canonical form of an IP address, or undefined for anything else. Accepts a port, brackets around IPv6,
 * and zone ids, because proxies write them.
 *
 * Returns IPv4 for an IPv4 address that is mapped into IPv6 (`::ffff:192.0.2.1`, `::ffff:c000:201`) or translated to
 * IPv6 (`64:ff9b::c000:201`, RFC 6052). Otherwise all IPv4 clients would be in one /64 and share one rate limit.
 */
function parseAddress(text = ''): string | undefined {
  const [, inBrackets, beforePort] = /^\[([^\]]*)\](?::\d+)?$|^([\d.]+):\d+$/.exec(text.trim()) ?? [];
  const bare = (inBrackets ?? beforePort ?? text.trim()).replace(/%.*$/, '');
  if (isIPv4(bare)) return bare;
  if (!isIPv6(bare)) return undefined;
  // `URL` returns the canonical form of RFC 5952: lower-case hexadecimal, with the longest run of zeros omitted.
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const [, high, low] = /^(?:::ffff:|64:ff9b::)([\da-f]+):([\da-f]+)$/.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return canonical;
  const [a, b] = [parseInt(high, 16), parseInt(low, 16)];
  return [a >> 8, a & 255, b >> 8, b & 255].join('.');
}

/**
 * Returns the network that rate limits treat as one client: an IPv4 address, or the /64 of an IPv6 address. An IPv6
 * subscriber usually has a whole /64. Returns 'unknown' for an invalid address.
 */
export function subnetOf(address: string | null): string {
  const canonical = parseAddress(address ?? '');
  if (canonical === undefined) return 'unknown';
  if (isIPv4(canonical)) return canonical;
  const [before = [], after = []] = canonical.split('::').map((part) => part.split(':').filter(Boolean));
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`;
}

export function isLoopback(address: string | null): boolean {
  return address === '::1' || /^127\./.test(address ?? '');
}

/** Headers in which proxies name the client. */
const PROXY_HEADERS = ['x-forwarded-for', 'forwarded', 'x-real-ip'];

/**
 * Returns a function that inspects the headers of requests. If `trusted` is 0, the function logs one warning when a
 * request came through a proxy. All clients behind that proxy share its address and one rate limit.
 */
export function createProxyWarning(trusted: number, log: Logger): (headers: Readonly<Record<string, unknown>>) => void {
  let isDone = trusted > 0;
  return (headers) => {
    if (isDone) return;
    const header = PROXY_HEADERS.find((name) => headers[name] !== undefined);
    if (header === undefined) return;
    isDone = true;
    log.warn(
      { header },
      'Requests come through a proxy, but TRUSTED_PROXIES is 0: all clients share its address and its rate limits. Set TRUSTED_PROXIES to the number of your proxies.',
    );
  };
}
