import { importPKCS8, SignJWT } from 'jose';
import { z } from 'zod';

/** Fields of a Google service account file that Parley needs. */
export const serviceAccount = z.object({
  project_id: z.string(),
  client_email: z.string(),
  private_key: z.string(),
  token_uri: z.url(),
});
export type ServiceAccount = z.infer<typeof serviceAccount>;

/**
 * Returns a signed JWT that Google exchanges for an access token of the given scope (RFC 7523). The JWT is valid for an
 * hour.
 */
export async function signAssertion(account: ServiceAccount, scope: string): Promise<string> {
  return new SignJWT({ scope })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT' })
    .setIssuer(account.client_email)
    .setAudience(account.token_uri)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(await importPKCS8(account.private_key, 'RS256'));
}
