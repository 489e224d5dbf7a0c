import type { Logger } from 'pino';

/** Reasons remembered during one outage, so that each is logged once. */
const MAX_REASONS = 20;

/** Logs what fails repeatedly once at `warn`, and again at `warn` when everything works. Repetitions go to `debug`. */
export interface FailureLog {
  /** @param part what failed, such as one of several connections */
  failed(part: string, error: unknown): void;
  worked(part: string): void;
}

/**
 * @param options.explain returns sentences about an error; equal sentences are one reason
 * @param options.recovered the line that ends an outage
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
