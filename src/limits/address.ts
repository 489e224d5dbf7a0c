import { isIPv4, isIPv6 } from 'node:net';

/**
 * Where a request comes from. Each proxy adds to `X-Forwarded-For` the address that it was called from: with two proxies of
 * ours, the last but one was written by ours, and what stands before it by whoever called.
 *
 * @param trusted how many proxies of ours a request has passed
 */
export function addressOf(
  remote: string | undefined,
  forwarded: string | undefined,
  trusted: number,
): string | undefined {
  const named = trusted > 0 ? forwarded?.split(',').at(-trusted)?.trim() : undefined;
  return plain(named !== undefined && (isIPv4(named) || isIPv6(named)) ? named : remote);
}

/** Who is taken for one: an address, or the network of an IPv6 address, of which anyone has 2^64. */
export function networkOf(address: string | null): string {
  if (address === null || !isIPv6(address)) return address ?? 'unknown';
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? [] : Array<string>(Math.max(8 - before.length - after.length, 0)).fill('0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}

/** IPv4 in the clothes of IPv6, as a socket that takes both shows it. */
function plain(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/, '');
}
