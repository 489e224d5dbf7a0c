import { parseCookie, stringifySetCookie } from 'cookie';
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
  /** Allows to read files; see `FileTokens`. Sent only with requests for files, unlike the other tokens. */
  fileTicket: string | null;
  /** Proves that the browser signed in to an account before; see `DeviceTokens`. */
  deviceToken: string | null;
  /**
   * Whether the page that sent the request may store a session in cookies. A page of another site may not, because the
   * page could sign its visitors in to an account of an attacker.
   */
  mayStore: boolean;
  /** Sets the cookies of the session: access token, refresh token and file ticket. */
  storeSession(tokens: { accessToken: string; refreshToken: string; fileTicket: string }): void;
  /** Sets the device token cookie, which survives signing out. */
  storeDevice(deviceToken: string): void;
  /** Deletes the cookies of the session. The device token stays. */
  clear(): void;
}

const ACCESS = 'parley_access';
const REFRESH = 'parley_refresh';
const DEVICE = 'parley_device';
const FILES = 'parley_files';
/** Path of the file ticket cookie. */
const FILES_PATH = '/files';

/**
 * Reads the cookies of a request and sets cookies in its response.
 *
 * The cookies are SameSite=Strict, so browsers do not send them with requests from pages of other sites. The access
 * token cookie lasts as long as the refresh token. A browser therefore still sends an expired access token, and
 * receives `TOKEN_EXPIRED` instead of `UNAUTHENTICATED`.
 *
 * @param set adds a `Set-Cookie` header to the response
 */
export function openCookieJar(
  header: string | undefined,
  options: { path: string; secure: boolean },
  set: (cookie: string) => void,
): CookieJar {
  const found = parseCookie(header ?? '', { decode: tokenOnly });
  const attributes = { ...options, httpOnly: true, sameSite: 'strict' } as const;
  const write = (name: string, value: string, days: number, path = options.path) => {
    set(stringifySetCookie({ name, value, maxAge: days * 86_400, ...attributes, path }));
  };
  return {
    accessToken: found[ACCESS] ?? null,
    refreshToken: found[REFRESH] ?? null,
    deviceToken: found[DEVICE] ?? null,
    fileTicket: found[FILES] ?? null,
    mayStore: true,
    storeSession({ accessToken, refreshToken, fileTicket }) {
      write(ACCESS, accessToken, REFRESH_TOKEN_DAYS);
      write(REFRESH, refreshToken, REFRESH_TOKEN_DAYS);
      // Renewed with the access token, and valid for longer.
      write(FILES, fileTicket, REFRESH_TOKEN_DAYS, FILES_PATH);
    },
    storeDevice(deviceToken) {
      write(DEVICE, deviceToken, DEVICE_TOKEN_DAYS);
    },
    clear() {
      for (const name of [ACCESS, REFRESH]) write(name, '', 0);
      write(FILES, '', 0, FILES_PATH);
    },
  };
}

/**
 * Returns a cookie value if it can be a token: base64url characters and dots. Otherwise returns undefined, so that the
 * cookie counts as absent.
 */
function tokenOnly(value: string): string | undefined {
  return /^[\w.-]+$/.test(value) ? value : undefined;
}
