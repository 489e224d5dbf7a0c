import type { Config } from '../core/config/settings.ts';
import { isLocalOrigin } from '../core/hosts.ts';

/**
 * Returns whether pages of a foreign origin may call the API. The origins in `ALLOWED_ORIGINS` may, and in development
 * also localhost.
 *
 * DNS rebinding does not help an attacker, because an origin contains the host name of the page and not its address.
 */
function allowsForeignOrigin(config: Config, origin: string): boolean {
  return config.ALLOWED_ORIGINS.includes(origin) || (config.NODE_ENV === 'development' && isLocalOrigin(origin));
}

/**
 * Returns whether pages of an origin may use cookies and open WebSockets. This server's own origin may, and each origin
 * that {@link allowsForeignOrigin} allows.
 *
 * In production with `PUBLIC_URL`, the own origin is the origin of that URL. A page that a man in the middle has forged
 * over plain http is therefore refused, because its scheme differs. In all other cases, the http and https origins of
 * the requested host also count as the own origin.
 */
export function allowsOrigin(config: Config, origin: string, host: string | undefined): boolean {
  if (allowsForeignOrigin(config, origin)) return true;
  if (config.PUBLIC_URL !== undefined && origin === new URL(config.PUBLIC_URL).origin) return true;
  const isPinned = config.NODE_ENV === 'production' && config.PUBLIC_URL !== undefined;
  return !isPinned && host !== undefined && (origin === `http://${host}` || origin === `https://${host}`);
}

/**
 * Returns the CORS options for an allowed foreign origin; false for all other origins. The options name the request's
 * origin, because without an origin Yoga would allow the origin `null` of sandboxed frames.
 */
export function allowCrossOrigin(config: Config, request: Request) {
  const origin = request.headers.get('origin');
  if (origin === null || !allowsForeignOrigin(config, origin)) return false;
  return { origin, credentials: true };
}
