import { DEVICE_TOKEN_DAYS } from './devices.ts';
import { REFRESH_TOKEN_DAYS } from './tokens.ts';

/** The tokens of a browser that keeps them in cookies, which its scripts cannot read. */
export interface CookieJar {
  accessToken: string | null;
  refreshToken: string | null;
  /** Proves that the browser signed in to an account before; see `DeviceTokens`. */
  deviceToken: string | null;
  /** Whether a page asks that may sign people in: another site's must not, or they would write to rooms of its choosing. */
  mayKeep: boolean;
  /** Puts new tokens into the browser. */
  keep(accessToken: string, refreshToken: string): void;
  /** Puts a device token into the browser. It stays there after signing out. */
  keepDevice(deviceToken: string): void;
  /** Takes the tokens of the session out of the browser. */
  clear(): void;
}

const ACCESS = 'parley_access';
const REFRESH = 'parley_refresh';
const DEVICE = 'parley_device';

/**
 * Reads the cookies of a request and writes those of its answer.
 *
 * SameSite=Strict: no other site's page sends them. Both live as long as the refresh token, so that a browser whose access
 * token has run out is told just that.
 *
 * @param set adds a `Set-Cookie` header to the answer
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

/** The tokens are base64url and dots, so that nothing in them is quoted or escaped. */
function find(header: string | undefined, name: string): string | null {
  if (header === undefined) return null;
  const [, value] = new RegExp(`(?:^|;\\s*)${name}=([\\w.-]+)(?:;|$)`).exec(header) ?? [];
  return value ?? null;
}
