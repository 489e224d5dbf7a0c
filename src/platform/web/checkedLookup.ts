import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';

/** Time after which a query to a DNS server is repeated, in milliseconds. */
const QUERY_MS = 2_000;

/**
 * Returns a lookup that fails unless all addresses of the host are allowed. The socket connects to the addresses that
 * this lookup returns, without another lookup.
 *
 * Queries the DNS servers itself. A lookup of the system occupies a thread of libuv until it ends, and password hashing
 * uses the same threads. With a few host names whose DNS servers do not respond, a user could stop all sign-ins.
 *
 * @param dnsServers addresses of DNS servers; those of the system if undefined
 */
export function createCheckedLookup(
  allowsAddress: (address: string) => boolean,
  dnsServers?: readonly string[],
): LookupFunction {
  const resolver = new Resolver({ timeout: QUERY_MS, tries: 2 });
  if (dnsServers) resolver.setServers(dnsServers);

  async function resolve(hostname: string): Promise<LookupAddress[]> {
    const [v4, v6] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
    return [
      ...(v4.status === 'fulfilled' ? v4.value : []).map((address) => ({ address, family: 4 })),
      ...(v6.status === 'fulfilled' ? v6.value : []).map((address) => ({ address, family: 6 })),
    ];
  }

  return (hostname, options, callback) => {
    void resolve(hostname).then((addresses) => {
      const [first] = addresses;
      if (!first || !addresses.every(({ address }) => allowsAddress(address)))
        callback(new Error('This host has no address, or one that is not public.'), '');
      else if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}
