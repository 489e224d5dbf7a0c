import type { ChatError } from './errors.ts';

/** End of the waiting period of each client's last warning, by the signal that fires when the client is closed. */
const reported = new WeakMap<AbortSignal, number>();

/**
 * Writes a warning to the console if the error is `RATE_LIMITED`, because a retry that waits for a minute would look
 * like a page that never loads. Each client writes one warning per waiting period.
 */
export function warnOfRateLimit({ code, message }: ChatError, waitMs: number, closed: AbortSignal): void {
  if (code !== 'RATE_LIMITED' || Date.now() < (reported.get(closed) ?? 0)) return;
  reported.set(closed, Date.now() + waitMs);
  console.warn(`Parley: ${message} The client repeats the operation in ${Math.ceil(waitMs / 1_000)} s.`);
}
