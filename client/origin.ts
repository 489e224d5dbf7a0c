import { withAbortSignal } from './wait.ts';

/** Timeout of the probe. It delays the error that it explains. */
const PROBE_TIMEOUT_MS = 3_000;

/**
 * Returns the origin of this page if the server runs and therefore probably does not allow this origin. Returns null if the
 * server cannot be reached, if there is no page, and if the server itself serves the page.
 *
 * A browser throws the same `TypeError` if the server is down and if the answer has no CORS headers. A request without CORS
 * distinguishes the two: the page cannot read the answer, but it learns that there was one.
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
