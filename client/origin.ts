import { withAbortSignal } from './wait.ts';

/** Timeout of the request by which {@link refusedOrigin} tests the server, in ms. Its caller waits before it fails. */
const PROBE_TIMEOUT_MS = 3_000;

/**
 * Returns the origin of this page if the server probably refuses this origin. Call this function after a failed
 * request. Returns null if the server cannot be reached, if there is no page, or if the server itself serves the page.
 *
 * `fetch` throws the same `TypeError` for a server that is down and for a response without CORS headers. A `no-cors`
 * request fails only if the server is down.
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
