import type { Config } from '../core/config/settings.ts';
import { isLocalOrigin } from '../core/hosts.ts';

/**
 * Returns whether pages of an origin other than this server's may call the API. Allowed are `ALLOWED_ORIGINS` and, in
 * development, localhost.
 *
 * DNS rebinding gives a page no allowed origin, because an origin contains the host name from which the page was
 * loaded, not the address.
 */
function allowsForeignOrigin(config: Config, origin: string): boolean {
  return config.ALLOWED_ORIGINS.includes(origin) || (config.NODE_ENV === 'development' && isLocalOrigin(origin));
}

/**
 * Returns whether pages of an origin may use cookies and open WebSockets. Allowed are this server's own origin and
 * those that {@link allowsForeignOrigin} allows.
 *
 * In production with `PUBLIC_URL`, the own origin is exactly the origin of that URL, including the scheme. A page that
 * a man in the middle has forged over plain http then has another origin. In all other cases, the http and https
 * origins of the host to which the request was sent also count as the own origin.
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
