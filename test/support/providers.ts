import { createECDH, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { exportPKCS8, generateKeyPair } from 'jose';
import { onTestFinished } from 'vitest';
import webPush from 'web-push';

// The package has no types.
const { decrypt } = createRequire(import.meta.url)('http_ece') as {
  decrypt: (body: Buffer, how: { version: string; privateKey: unknown; authSecret: string }) => Buffer;
};

export type Platform = 'FCM' | 'WEB_PUSH';

/** A push that reached a provider. */
export interface Push {
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}
export interface Answer {
  status: number;
  body?: object;
  headers?: Record<string, string>;
}

/** Starts an HTTP server for the current test. */
export async function serve(answer: (push: Push) => Answer | Promise<Answer>): Promise<string> {
  const reply = async (incoming: IncomingMessage): Promise<Answer> =>
    answer({ path: incoming.url ?? '', headers: incoming.headers, body: await buffer(incoming) });
  const server = createServer((incoming, response) => {
    void reply(incoming).then(({ status, headers, body = {} }) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A push service. It accepts pushes, or responds as the test defines. */
export interface Provider {
  env: Record<string, string>;
  /** All pushes that it received. */
  pushes: Push[];
  answer: (push: Push) => Answer | Promise<Answer>;
}

export interface Fcm extends Provider {
  /** Requests to the token endpoint. */
  grants: URLSearchParams[];
  account: { project_id: string; client_email: string; token_uri: string };
  publicKey: CryptoKey;
}

export const fcmMessage = ({ body }: Push) => JSON.parse(body.toString()).message;
export const fcmTokens = ({ pushes }: Provider) => pushes.map((push) => fcmMessage(push).token as string).sort();

/** Key pair of all service accounts, generated once per process, because an RSA key takes up to 0.3 s of CPU. */
let keyPair: ReturnType<typeof generateKeyPair> | undefined;

/** Starts a fake Firebase Cloud Messaging with Google's token endpoint. Each issued access token is different. */
export async function startFcm(): Promise<Fcm> {
  const { publicKey, privateKey } = await (keyPair ??= generateKeyPair('RS256', { extractable: true }));
  const origin = await serve((push) => {
    if (push.path === '/token') {
      fcm.grants.push(new URLSearchParams(push.body.toString()));
      const access = { access_token: `access ${fcm.grants.length}`, expires_in: 3600, token_type: 'Bearer' };
      return { status: 200, body: access };
    }
    fcm.pushes.push(push);
    return fcm.answer(push);
  });
  const account = {
    type: 'service_account',
    project_id: 'parley-test',
    client_email: 'push@parley-test.iam.gserviceaccount.com',
    token_uri: `${origin}/token`,
  };
  const json = JSON.stringify({ ...account, private_key: await exportPKCS8(privateKey) });
  const fcm: Fcm = {
    env: { FCM_SERVICE_ACCOUNT: json, FCM_ENDPOINT: origin },
    pushes: [],
    answer: () => ({ status: 200, body: { name: 'projects/parley-test/messages/1' } }),
    grants: [],
    account,
    publicKey,
  };
  return fcm;
}

export interface PushService extends Provider {
  origin: string;
  vapid: webPush.VapidKeys;
}

/** Starts the push service of a browser. */
export async function startPushService(): Promise<PushService> {
  const origin = await serve((push) => {
    service.pushes.push(push);
    return service.answer(push);
  });
  const vapid = webPush.generateVAPIDKeys();
  const service: PushService = {
    env: { VAPID_PUBLIC_KEY: vapid.publicKey, VAPID_PRIVATE_KEY: vapid.privateKey, WEB_PUSH_ORIGINS: origin },
    pushes: [],
    answer: () => ({ status: 201 }),
    origin,
    vapid,
  };
  return service;
}

/** Subscribes a fake browser. Returns the JSON of its subscription, and a function that decrypts a push. */
export function subscribeBrowser(origin: string) {
  const keys = createECDH('prime256v1');
  const p256dh = keys.generateKeys('base64url');
  const auth = randomBytes(16).toString('base64url');
  const endpoint = `${origin}/push/${randomUUID()}`;
  return {
    path: new URL(endpoint).pathname,
    token: JSON.stringify({ endpoint, expirationTime: null, keys: { p256dh, auth } }),
    read: ({ body }: Push) =>
      JSON.parse(decrypt(body, { version: 'aes128gcm', privateKey: keys, authSecret: auth }).toString()),
  };
}

/** Both providers, each with a registered device. */
export const providers: Record<
  Platform,
  () => Promise<{ provider: Provider; token: string; bodyOf: (push: Push) => string }>
> = {
  async FCM() {
    const provider = await startFcm();
    return { provider, token: 'the phone', bodyOf: (push) => fcmMessage(push).notification.body };
  },
  async WEB_PUSH() {
    const provider = await startPushService();
    const { token, read } = subscribeBrowser(provider.origin);
    return { provider, token, bodyOf: (push) => read(push).body };
  },
};
