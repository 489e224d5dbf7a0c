import { ECDH } from 'node:crypto';
import webPush from 'web-push';
import { z } from 'zod';
import { type ServiceAccount, signAssertion } from '../../core/config/googleServiceAccount.ts';

/** Notification that is sent to a device. */
export interface Notification {
  title: string;
  body: string;
  /**
   * Lets the app open the message, and show the unread count on its icon. All values are strings, because FCM accepts
   * nothing else.
   */
  data: { chatroomId: string; messageId: string; number: string; unreadCount: string };
}

/**
 * Sends a notification to one device. Resolves with `GONE` if the provider no longer knows the device. Rejects if a
 * request to the provider fails or takes more than 10 s.
 */
export type PushSender = (token: string, notification: Notification) => Promise<'SENT' | 'GONE'>;

/** Timeout of a request to a provider, in milliseconds. */
const TIMEOUT_MS = 10_000;
/** Time for which a provider stores a notification that cannot be delivered yet, in seconds. One day. */
const TTL_SECONDS = 86_400;

/**
 * Creates a sender for Firebase Cloud Messaging, HTTP v1
 * (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send). Requests an access token with an assertion
 * signed by the service account (RFC 7523), and caches the token until it expires.
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
    if (!response.ok) throw new Error(`FCM's token endpoint returned ${response.status}: ${await response.text()}`);
    const token = z.object({ access_token: z.string(), expires_in: z.number() }).parse(await response.json());
    // Renewed one minute early, so that the token does not expire during a request.
    access = { token: token.access_token, expiresAt: Date.now() + (token.expires_in - 60) * 1000 };
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
    // The status 404 alone is no reason to remove a device. With a wrong project or endpoint, FCM returns 404 for every
    // device.
    if (answer.includes('UNREGISTERED')) return 'GONE';
    if (response.status === 401) access = null;
    throw new Error(`FCM returned ${response.status}: ${answer.slice(0, 500)}`);
  };
}

/** JSON of a browser's `PushSubscription`. */
export const pushSubscription = z.object({
  // `fetch` rejects a URL with a username or password.
  endpoint: z.url().refine((url) => new URL(url).username === '' && new URL(url).password === ''),
  keys: z.object({
    p256dh: z
      .string()
      .regex(/^[\w-]{87}=?$/)
      .refine(isPublicKey),
    auth: z.string().regex(/^[\w-]{22}(==)?$/),
  }),
});

/** Returns whether a text encodes a point of the curve P-256. Encryption for any other key would fail. */
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
  /** Contact of the operator for push services: a `mailto:` or `https:` URL. */
  subject: string;
}

/**
 * Creates a sender for Web Push. Notifications are encrypted for the browser (RFC 8291) and signed with the VAPID key
 * of this server (RFC 8292).
 */
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
      // Only the registered endpoint has been checked against the allowed origins. A redirect could lead anywhere.
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer = await response.text();
    if (response.ok) return 'SENT';
    if (response.status === 404 || response.status === 410) return 'GONE';
    throw new Error(`The push service returned ${response.status}: ${answer.slice(0, 500)}`);
  };
}
