import type { Logger } from 'pino';

/** Maximum number of reasons remembered during one outage. Further reasons are logged at `debug` only. */
const MAX_REASONS = 20;

/**
 * Logs each reason of failure once per outage at `warn`, and repetitions at `debug`. When all failed components work
 * again, logs the recovery at `warn`.
 */
export interface FailureLog {
  /** @param part name of the failed component, such as one of several connections */
  failed(part: string, error: unknown): void;
  worked(part: string): void;
}

/**
 * Creates a failure log.
 *
 * @param options.explain returns sentences about an error; equal sentences count as one reason
 * @param options.recovered log line at the end of an outage
 */
export function createFailureLog(
  log: Logger,
  { explain, recovered }: { explain: (error: unknown) => string; recovered: string },
): FailureLog {
  const failing = new Set<string>();
  const reported = new Set<string>();
  return {
    failed(part, error) {
      failing.add(part);
      const reason = explain(error);
      if (reported.has(reason) || reported.size >= MAX_REASONS) log.debug({ err: error, part }, reason);
      else log.warn({ err: error, part }, reason);
      reported.add(reason);
    },
    worked(part) {
      if (!failing.delete(part) || failing.size > 0) return;
      reported.clear();
      log.warn(recovered);
    },
  };
}
