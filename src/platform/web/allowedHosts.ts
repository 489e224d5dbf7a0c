import { BlockList, isIP } from 'node:net';

/** Hosts and networks of the operator's own, which webhooks may reach besides public addresses. */
export interface AllowedHosts {
  /** Returns whether the operator lists the host name. The name may then have any address. */
  allowsName(hostname: string): boolean;
  /** Returns whether the operator lists the IP address, or a network that contains it. */
  allowsAddress(address: string): boolean;
}

/** @param entries host names, IP addresses, and networks such as 10.0.0.0/8 */
export function createAllowedHosts(entries: readonly string[]): AllowedHosts {
  const addresses = new BlockList();
  const names = new Set<string>();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = familyOf(address);
    if (!family) names.add(entry.toLowerCase());
    else if (bits === undefined) addresses.addAddress(address, family);
    else addresses.addSubnet(address, Number(bits), family);
  }
  return {
    allowsName: (hostname) => names.has(hostname.toLowerCase()),
    allowsAddress(address) {
      const family = familyOf(address);
      return family !== null && addresses.check(address, family);
    },
  };
}

function familyOf(address: string): 'ipv4' | 'ipv6' | null {
  const version = isIP(address);
  return version === 0 ? null : version === 4 ? 'ipv4' : 'ipv6';
}
