import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type JWK, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import { onTestFinished } from 'vitest';
import { generateKey, type Key } from './openid.ts';

/** An application that issues access tokens, with a server for its public keys. */
export interface Issuer {
  issuer: string;
  jwksUrl: string;
  key: Key;
  /** Published keys. */
  published: JWK[];
  /** Number of requests for the keys. */
  requests: number;
  /** Issues a token for `sub`. It is valid except for the given claims, header or key. */
  token(
    sub: string | undefined,
    claims?: JWTPayload,
    header?: Partial<JWTHeaderParameters>,
    key?: Key,
  ): Promise<string>;
}

/** Key of all issuers, generated once per process. */
let firstKey: Promise<Key> | undefined;

/** Starts an issuer for the current test. */
export async function startIssuer(): Promise<Issuer> {
  const key = await (firstKey ??= generateKey('first', 'ES256'));
  const server = createServer((_, response) => {
    issuer.requests += 1;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: issuer.published }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer: Issuer = {
    issuer: url,
    jwksUrl: `${url}/jwks.json`,
    key,
    published: [key.jwk],
    requests: 0,
    token: (sub, claims = {}, header = {}, { kid, privateKey } = key) =>
      new SignJWT(claimsFor(url, sub, claims)).setProtectedHeader({ alg: 'ES256', kid, ...header }).sign(privateKey),
  };
  return issuer;
}

/** Returns the claims of a valid token. A claim that is given as undefined is left out. */
export function claimsFor(issuer: string, sub: string | undefined, claims: JWTPayload = {}): JWTPayload {
  const now = Math.floor(Date.now() / 1_000);
  const all = { iss: issuer, sub, iat: now, exp: now + 300, ...claims };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
