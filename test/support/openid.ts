import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import {
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose';
import { onTestFinished } from 'vitest';
import { type GraphQLResult, request } from './client.ts';
import { startTestServer, type TestServer } from './server.ts';

export const AUDIENCE = 'parley of the tests';

export interface Key {
  kid: string;
  privateKey: CryptoKey;
  publicKey: CryptoKey;
  jwk: JWK;
}

export interface Provider {
  issuer: string;
  key: Key;
  /** Published keys. */
  published: JWK[];
  /** Status of the response to key requests. */
  status: number;
  /** Issues an ID token. It is valid except for the given claims, header or key. */
  token(claims?: JWTPayload, header?: Partial<JWTHeaderParameters>, key?: Key): Promise<string>;
}

export async function generateKey(kid: string, alg = 'RS256'): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** Key of all providers, generated once per process, because an RSA key takes up to 0.3 s of CPU. */
let firstKey: Promise<Key> | undefined;

/** Starts an OpenID provider for the current test. */
export async function startProvider(): Promise<Provider> {
  const key = await (firstKey ??= generateKey('first'));
  const server = createServer((incoming, response) => {
    const json = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (incoming.url === '/.well-known/openid-configuration')
      json(200, { issuer: provider.issuer, jwks_uri: `${provider.issuer}/keys` });
    else if (incoming.url === '/keys') json(provider.status, { keys: provider.published });
    else json(404, {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  const provider: Provider = {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    key,
    published: [key.jwk],
    status: 200,
    token: (said = {}, header = {}, { kid, privateKey } = key) =>
      new SignJWT(claims(provider, said)).setProtectedHeader({ alg: 'RS256', kid, ...header }).sign(privateKey),
  };
  return provider;
}

/** Returns the claims of an ID token of ann. */
export function claims({ issuer }: { issuer: string }, said: JWTPayload = {}): JWTPayload {
  const now = Math.floor(Date.now() / 1000);
  const usual = { iss: issuer, aud: AUDIENCE, sub: 'subject 1', iat: now, exp: now + 300, preferred_username: 'ann' };
  return { ...usual, ...said };
}

/** Starts a node and the provider whose tokens it accepts. */
export async function startWithProvider(
  more: Record<string, string> = {},
): Promise<{ server: TestServer; url: string; provider: Provider }> {
  const provider = await startProvider();
  const server = await startTestServer({ env: { OIDC_ISSUER: provider.issuer, OIDC_AUDIENCE: AUDIENCE, ...more } });
  return { server, url: server.url, provider };
}

export const SIGN_IN_WITH = `mutation ($input: SignInWithIdTokenInput!) {
  signInWithIdToken(input: $input) {
    accessToken refreshToken viewer { email emailVerified user { id username nickname } }
  }
}`;

export const codes = ({ errors }: GraphQLResult) => errors?.map((error) => error.extensions.code);

export const signInWith = (url: string, idToken: string, more: object = {}) =>
  request(url, SIGN_IN_WITH, { input: { idToken, ...more } });

/** Signs in and returns the viewer with the authorization header. Throws if the sign-in fails. */
export async function signedIn(url: string, idToken: string, more: object = {}) {
  const { data, errors } = await signInWith(url, idToken, more);
  if (!data?.signInWithIdToken) throw new Error(JSON.stringify(errors));
  const { viewer, accessToken } = data.signInWithIdToken;
  return { ...viewer, headers: { authorization: `Bearer ${accessToken}` } };
}
