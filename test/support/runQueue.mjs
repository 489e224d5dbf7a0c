import { readFileSync } from 'node:fs';

/**
 * Returns how long a thread has waited for a core since it started, in milliseconds. A busy machine delays a thread by
 * this time, which no input causes. Returns 0 where the system does not report it.
 *
 * @param thread path below /proc: `thread-self`, or `PID/task/PID` for the main thread of a process
 * @see https://docs.kernel.org/scheduler/sched-stats.html
 */
export function waitedForCore(thread) {
  try {
    return Number(readFileSync(`/proc/${thread}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}
