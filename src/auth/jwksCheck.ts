import { z } from 'zod';
import { fault, type Finding, ok } from '../core/findings.ts';

/** Time after which the request for the keys fails, in milliseconds. */
const TIMEOUT_MS = 5_000;

const keySet = z.object({ keys: z.array(z.object({ kty: z.string() })) });

/** Checks that the public keys of the company's own access tokens can be loaded, and that one of them is asymmetric. */
export async function examineJwks(url: string | undefined): Promise<Finding[]> {
  if (url === undefined) return [];
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const { keys } = keySet.parse(await response.json());
    const usable = keys.filter(({ kty }) => kty !== 'oct').length;
    if (usable > 0) return [ok(`JWT_JWKS_URL has ${usable} public keys.`)];
    return [fault('JWT_JWKS_URL has no public key, so no token of your application is accepted. Publish one.')];
  } catch {
    return [
      fault(
        'The keys of JWT_JWKS_URL cannot be loaded from this machine, so tokens of your application are refused. Check the URL and the network.',
      ),
    ];
  }
}
