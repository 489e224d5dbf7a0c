import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Prefix of all global unicast addresses of IPv6 (RFC 4291). */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');
/** Prefix of addresses that reach an IPv4 address through NAT64 (RFC 6052). */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');

/**
 * Returns whether an IP address is public unicast, so that the server may connect to it. Checks the IPv4 address inside
 * an address that is IPv4-mapped, of NAT64 or of 6to4, because a connection may end there.
 */
export function isPublicAddress(address: string): boolean {
  // ipaddr.js also accepts forms that the system reads differently.
  if (isIP(address) === 0) return false;
  const parsed = ipaddr.parse(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.range() === 'unicast';
  if (parsed.zoneId !== undefined) return false;
  const bytes = parsed.toByteArray();
  if (parsed.isIPv4MappedAddress() || parsed.match(NAT64)) return isPublicIpv4(bytes.slice(12));
  if (parsed.range() === '6to4') return isPublicIpv4(bytes.slice(2, 6));
  // ipaddr.js returns `unicast` for every address without a special purpose, also outside the prefix.
  return parsed.range() === 'unicast' && parsed.match(GLOBAL_UNICAST);
}

const isPublicIpv4 = (bytes: number[]) => new ipaddr.IPv4(bytes).range() === 'unicast';
