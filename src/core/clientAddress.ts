import { isIPv4, isIPv6 } from 'node:net';
import type { Logger } from 'pino';

/**
 * Returns the address of the client of a request. Each proxy appends the address of its caller to `X-Forwarded-For`.
 * With two proxies of the operator, the client's address is the last entry but one, which a trusted proxy wrote. The
 * client may have forged all earlier entries.
 *
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
 * Returns the canonical form of an IP address, or undefined for anything else. Accepts what proxies write: a port after
 * the address, brackets around IPv6, and zone ids.
 *
 * IPv4 mapped into IPv6 (`::ffff:192.0.2.1`, `::ffff:c000:201`) is returned as IPv4. IPv4 translated to IPv6
 * (`64:ff9b::c000:201`, RFC 6052) is returned as IPv4 too. Otherwise all IPv4 clients would be in one /64 and share one
 * rate limit.
 */
function parseAddress(text = ''): string | undefined {
  const [, inBrackets, beforePort] = /^\[([^\]]*)\](?::\d+)?$|^([\d.]+):\d+$/.exec(text.trim()) ?? [];
  const bare = (inBrackets ?? beforePort ?? text.trim()).replace(/%.*$/, '');
  if (isIPv4(bare)) return bare;
  if (!isIPv6(bare)) return undefined;
  // WHATWG URLs have one spelling for each address (RFC 5952): lower case, hexadecimal, the longest run of zeros
  // omitted.
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const [, high, low] = /^(?:::ffff:|64:ff9b::)([\da-f]+):([\da-f]+)$/.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return canonical;
  const [a, b] = [parseInt(high, 16), parseInt(low, 16)];
  return [a >> 8, a & 255, b >> 8, b & 255].join('.');
}

/**
 * Returns the network that rate limits treat as one client: an IPv4 address, or the /64 of an IPv6 address. Each IPv6
 * subscriber has at least 2^64 addresses.
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
 * Returns a function that inspects the headers of requests. The function warns once if a request passed a proxy
 * although no proxy is trusted. All clients behind that proxy then share the proxy's address, and one of them can use
 * up the rate limits of all.
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
