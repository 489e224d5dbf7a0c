import { within } from './wait.ts';

/** The probe takes no longer, so that the error that it explains is not late. */
const PROBE_TIMEOUT_MS = 3_000;

/**
 * Returns the origin of this page if the server runs, so that it probably does not allow this origin. Returns null
 * if the server cannot be reached, and where there is no page or the page is the server's own.
 *
 * A browser shows a page the same `TypeError` for a server that is down and for an answer without CORS headers. A request
 * without CORS tells the two apart: the page cannot read the answer, but learns that there was one.
 */
export async function refusedOrigin(url: string, signals: readonly AbortSignal[]): Promise<string | null> {
  const { location } = globalThis as { location?: { origin: string } };
  if (!location || new URL(url).origin === location.origin) return null;
  try {
    await within(PROBE_TIMEOUT_MS, signals, (signal) =>
      fetch(url, { mode: 'no-cors', credentials: 'omit', cache: 'no-store', signal }),
    );
    return location.origin;
  } catch {
    return null;
  }
}
