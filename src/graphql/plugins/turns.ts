import { rateLimited } from '../../platform/rateLimits/counters.ts';

/** Maximum number of waiting documents per payer. Further documents are refused. */
const MAX_WAITING = 200;
/** Retry delay that a refused client receives, in milliseconds. */
const RETRY_AFTER_MS = 1_000;
/**
 * Maximum pause between two tasks, in milliseconds. Without this maximum, pauses would become long while other programs
 * slow down the machine.
 */
const MAX_PAUSE_MS = 100;

/**
 * Schedules expensive synchronous tasks: one per turn of the event loop, followed by a pause as long as the task took.
 * Payers take turns, so that no payer waits behind all the tasks of another.
 *
 * Without the scheduler, tasks of many connections that arrive together all run before any other work. 400 documents of
 * 2,000 tokens blocked a node for half a minute.
 *
 * @returns a function that resolves when it is a payer's turn, or rejects with `RATE_LIMITED`. The caller must then run
 *   its task without another `await`.
 */
export function createTurns(): (payer: string) => Promise<void> {
  /** Waiting tasks by payer. The first payer has the next turn. */
  const payers = new Map<string, (() => void)[]>();
  let isRunning = false;

  function run(): void {
    const [next] = payers;
    isRunning = next !== undefined;
    if (!next) return;
    const [payer, waiting] = next;
    payers.delete(payer);
    waiting.shift()?.();
    if (waiting.length > 0) payers.set(payer, waiting);
    const began = performance.now();
    // The task runs in the microtasks after this function, so `setImmediate` fires when the task has ended.
    setImmediate(() => setTimeout(run, Math.min(performance.now() - began, MAX_PAUSE_MS)));
  }

  return (payer) => {
    const waiting = payers.get(payer) ?? [];
    if (waiting.length >= MAX_WAITING) return Promise.reject(rateLimited(RETRY_AFTER_MS));
    payers.set(payer, waiting);
    return new Promise((resolve) => {
      waiting.push(resolve);
      if (!isRunning) run();
    });
  };
}
