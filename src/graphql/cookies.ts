import { DEVICE_TOKEN_DAYS } from '../auth/devices.ts';
import { REFRESH_TOKEN_DAYS } from '../auth/accessTokens.ts';

declare module '../core/context.ts' {
  interface Operation {
    /** Cookies of the browser. Null over WebSocket, where no cookies can be set. */
    cookies: CookieJar | null;
  }
}

/** Tokens of a browser in HttpOnly cookies, which scripts cannot read. */
export interface CookieJar {
  accessToken: string | null;
  refreshToken: string | null;
  /** Proves that the browser signed in to an account before; see `DeviceTokens`. */
  deviceToken: string | null;
  /**
   * Whether the page that sent the request may store a session in cookies. A page of another site may not, because it
   * could sign its visitors in to an account of its choice.
   */
  mayKeep: boolean;
  /** Sets the access and refresh token cookies. */
  keep(accessToken: string, refreshToken: string): void;
  /** Sets the device token cookie, which survives signing out. */
  keepDevice(deviceToken: string): void;
  /** Deletes the cookies of the session. The device token stays. */
  clear(): void;
}

const ACCESS = 'parley_access';
const REFRESH = 'parley_refresh';
const DEVICE = 'parley_device';

/**
 * Reads the cookies of a request and sets those of its response.
 *
 * Browsers do not send SameSite=Strict cookies with requests from pages of other sites. The access token cookie lasts
 * as long as the refresh token. A browser therefore still sends an expired access token, and receives `TOKEN_EXPIRED`
 * instead of `UNAUTHENTICATED`.
 *
 * @param set adds a `Set-Cookie` header to the response
 */
export function openCookieJar(
  header: string | undefined,
  options: { path: string; secure: boolean },
  set: (cookie: string) => void,
): CookieJar {
  const attributes = `Path=${options.path}; HttpOnly; SameSite=Strict${options.secure ? '; Secure' : ''}`;
  const seconds = REFRESH_TOKEN_DAYS * 86_400;
  return {
    accessToken: find(header, ACCESS),
    refreshToken: find(header, REFRESH),
    deviceToken: find(header, DEVICE),
    mayKeep: true,
    keep(accessToken, refreshToken) {
      set(`${ACCESS}=${accessToken}; Max-Age=${seconds}; ${attributes}`);
      set(`${REFRESH}=${refreshToken}; Max-Age=${seconds}; ${attributes}`);
    },
    keepDevice(deviceToken) {
      set(`${DEVICE}=${deviceToken}; Max-Age=${DEVICE_TOKEN_DAYS * 86_400}; ${attributes}`);
    },
    clear() {
      for (const name of [ACCESS, REFRESH]) set(`${name}=; Max-Age=0; ${attributes}`);
    },
  };
}

/**
 * Returns the value of a cookie, or null. Values need no unquoting, because tokens consist only of base64url characters
 * and dots.
 */
function find(header: string | undefined, name: string): string | null {
  if (header === undefined) return null;
  const [, value] = new RegExp(`(?:^|;\\s*)${name}=([\\w.-]+)(?:;|$)`).exec(header) ?? [];
  return value ?? null;
}
