import { ECDH } from 'node:crypto';
import webPush from 'web-push';
import { z } from 'zod';
import { type ServiceAccount, signAssertion } from '../auth/serviceAccount.ts';

/** What a device is told. */
export interface Notification {
  title: string;
  body: string;
  /** For the app to open the right place, and to show on its icon. All texts, as FCM wants them. */
  data: { chatroomId: string; messageId: string; number: string; unreadCount: string };
}

/** Sends a notification to one device. `GONE` means that the provider knows the device no more. */
export type PushSender = (token: string, notification: Notification) => Promise<'SENT' | 'GONE'>;

const TIMEOUT_MS = 10_000;
/** How long a provider keeps what it cannot deliver, in seconds: a day. */
const TTL_SECONDS = 86_400;

/**
 * Firebase Cloud Messaging, HTTP v1 (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send). Its access
 * token is asked for with an assertion that the service account has signed (RFC 7523), and kept until it runs out.
 */
export function createFcmSender(account: ServiceAccount, endpoint: string): PushSender {
  let access: { token: string; expiresAt: number } | null = null;

  async function authorize(): Promise<string> {
    if (access && access.expiresAt > Date.now()) return access.token;
    const assertion = await signAssertion(account, 'https://www.googleapis.com/auth/firebase.messaging');
    const response = await fetch(account.token_uri, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(`FCM's token endpoint answered ${response.status}: ${await response.text()}`);
    const given = z.object({ access_token: z.string(), expires_in: z.number() }).parse(await response.json());
    // A minute early, so that it does not run out on its way.
    access = { token: given.access_token, expiresAt: Date.now() + (given.expires_in - 60) * 1000 };
    return access.token;
  }

  return async (token, { title, body, data }) => {
    const response = await fetch(`${endpoint}/v1/projects/${account.project_id}/messages:send`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await authorize()}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        message: {
          token,
          notification: { title, body },
          data,
          android: { ttl: `${TTL_SECONDS}s` },
          apns: { payload: { aps: { badge: Number(data.unreadCount) } } },
        },
      }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer = await response.text();
    if (response.ok) return 'SENT';
    // A bare 404 is another project or address: no reason to forget every device.
    if (answer.includes('UNREGISTERED')) return 'GONE';
    if (response.status === 401) access = null;
    throw new Error(`FCM answered ${response.status}: ${answer.slice(0, 500)}`);
  };
}

/** What a browser's `PushSubscription` is as JSON. */
export const pushSubscription = z.object({
  // `fetch` takes no address with a password.
  endpoint: z.url().refine((url) => new URL(url).username === '' && new URL(url).password === ''),
  keys: z.object({
    p256dh: z
      .string()
      .regex(/^[\w-]{87}=?$/)
      .refine(isPublicKey),
    auth: z.string().regex(/^[\w-]{22}(==)?$/),
  }),
});

/** Whether it is a point of P-256: for no other can be encrypted. */
function isPublicKey(text: string): boolean {
  try {
    return ECDH.convertKey(text, 'prime256v1', 'base64url').length > 0;
  } catch {
    return false;
  }
}

export interface VapidKeys {
  publicKey: string;
  privateKey: string;
  /** Whom a push service may turn to: a `mailto:` or `https:` address. */
  subject: string;
}

/** Web Push: encrypted for the browser (RFC 8291) and signed with our key (RFC 8292). */
export function createWebPushSender(vapid: VapidKeys): PushSender {
  return async (token, notification) => {
    const subscription = pushSubscription.parse(JSON.parse(token));
    const request = webPush.generateRequestDetails(subscription, JSON.stringify(notification), {
      vapidDetails: vapid,
      TTL: TTL_SECONDS,
    });
    const response = await fetch(subscription.endpoint, {
      method: 'POST',
      headers: request.headers,
      body: Uint8Array.from(request.body),
      // The address was checked when the device was registered; another one would not have been.
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer = await response.text();
    if (response.ok) return 'SENT';
    if (response.status === 404 || response.status === 410) return 'GONE';
    throw new Error(`The push service answered ${response.status}: ${answer.slice(0, 500)}`);
  };
}
