import type { Logger } from 'pino';

/** Maximum number of reasons remembered during one outage. Further reasons are logged at `debug` only. */
const MAX_REASONS = 20;

/**
 * Logs each reason of failure once per outage at `warn`, and repetitions at `debug`. When all failed components work
 * again, logs the recovery at `warn`.
 */
export interface FailureLog {
  /** @param component name of the failed component, such as one of several connections */
  failed(component: string, error: unknown): void;
  succeeded(component: string): void;
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
    failed(component, error) {
      failing.add(component);
      const reason = explain(error);
      if (reported.has(reason) || reported.size >= MAX_REASONS) log.debug({ err: error, component }, reason);
      else log.warn({ err: error, component }, reason);
      reported.add(reason);
    },
    succeeded(component) {
      if (!failing.delete(component) || failing.size > 0) return;
      reported.clear();
      log.warn(recovered);
    },
  };
}
