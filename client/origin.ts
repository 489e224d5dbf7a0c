import { withAbortSignal } from './wait.ts';

/** Timeout of the probe. The error of the failed request is reported only after the probe. */
const PROBE_TIMEOUT_MS = 3_000;

/**
 * Returns the origin of this page if the server runs. After a failed request, the server then probably does not allow
 * this origin. Returns null if the server cannot be reached, if there is no page, or if the server itself serves the
 * page.
 *
 * `fetch` throws the same `TypeError` whether the server is down or its response has no CORS headers. A `no-cors`
 * request distinguishes the two. The page cannot read its response, but the request fails only if there is none.
 */
export async function refusedOrigin(url: string, signals: readonly AbortSignal[]): Promise<string | null> {
  const { location } = globalThis as { location?: { origin: string } };
  if (!location || new URL(url).origin === location.origin) return null;
  try {
    await withAbortSignal(PROBE_TIMEOUT_MS, signals, (signal) =>
      fetch(url, { mode: 'no-cors', credentials: 'omit', cache: 'no-store', signal }),
    );
    return location.origin;
  } catch {
    return null;
  }
}
