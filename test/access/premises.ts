import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import webPush from 'web-push';
import { createServiceToken } from '../../src/auth/serviceTokens.ts';
import { PASSWORD } from '../support/client.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

export const PUSH_ORIGIN = 'https://push.example.org';
const AUDIENCE = 'parley of the tests';

/** A server with every optional feature, for all tests of a file. */
export interface Premises {
  server: TestServer;
  /** Hash of PASSWORD, for accounts that are inserted directly into the database. */
  passwordHash: string;
  serviceToken: string;
  /** Issues a token of the OpenID provider for an unknown identity. */
  idToken(): Promise<string>;
  close(): Promise<void>;
}

/** @param settings environment variables of the server, besides those that its features need */
export async function openPremises(settings: Record<string, string> = {}): Promise<Premises> {
  const endings: (() => Promise<void> | void)[] = [];
  const { privateKey, publicKey } = await generateKeyPair('RS256');
  const key = { ...(await exportJWK(publicKey)), kid: 'first', alg: 'RS256', use: 'sig' };
  const provider = createServer((incoming, response) => {
    const said = incoming.url === '/keys' ? { keys: [key] } : { issuer, jwks_uri: `${issuer}/keys` };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said));
  });
  provider.listen(0, '127.0.0.1');
  await once(provider, 'listening');
  endings.push(() => {
    provider.close();
    provider.closeAllConnections();
  });
  const issuer = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
  const vapid = webPush.generateVAPIDKeys();
  const env = {
    ...settings,
    ...{ OIDC_ISSUER: issuer, OIDC_AUDIENCE: AUDIENCE, WEB_PUSH_ORIGINS: PUSH_ORIGIN },
    ...{ VAPID_PUBLIC_KEY: vapid.publicKey, VAPID_PRIVATE_KEY: vapid.privateKey },
  };
  const server = await startTestServer({ env, atEnd: (end) => endings.unshift(end) });
  let subjects = 0;
  return {
    server,
    passwordHash: await server.node.passwords.hash(PASSWORD),
    serviceToken: await createServiceToken(server.node.database, 'billing'),
    idToken: () =>
      new SignJWT({ preferred_username: `subject${(subjects += 1)}` })
        .setProtectedHeader({ alg: 'RS256', kid: key.kid })
        .setIssuer(issuer)
        .setAudience(AUDIENCE)
        .setSubject(`subject ${subjects}`)
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(privateKey),
    async close() {
      for (const end of endings) await end();
    },
  };
}
