import { setTimeout as delay } from 'node:timers/promises';

/**
 * How long startup waits for PostgreSQL or Redis, in milliseconds. Compose and Kubernetes start servers in any order.
 */
const START_WAIT_MS = 60_000;
/** Interval between two progress lines, in milliseconds. */
const REPORT_INTERVAL_MS = 5_000;
const RETRY_MS = 250;

/**
 * Calls `attempt` repeatedly until it succeeds. Gives up after `waitMs`, a minute by default, or after an error that
 * waiting cannot resolve. Prints a line every few seconds.
 *
 * @param options.name name of the server, for the progress line
 * @param options.isTransient returns whether a later attempt may succeed without a change of the settings
 * @param options.explain returns a sentence about the error
 * @throws the last error
 */
export async function waitFor<Result>(
  attempt: () => Promise<Result>,
  options: {
    name: string;
    isTransient: (error: unknown) => boolean;
    explain: (error: unknown) => string;
    print: (line: string) => void;
    waitMs?: number;
  },
): Promise<Result> {
  const { name, explain, print, waitMs = START_WAIT_MS } = options;
  const deadline = performance.now() + waitMs;
  let nextReport = 0;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const now = performance.now();
      if (!options.isTransient(error) || now + RETRY_MS >= deadline) throw error;
      if (now >= nextReport) {
        nextReport = now + REPORT_INTERVAL_MS;
        print(`Waiting for ${name}, for another ${Math.ceil((deadline - now) / 1_000)} s at most. ${explain(error)}`);
      }
      await delay(RETRY_MS);
    }
  }
}
