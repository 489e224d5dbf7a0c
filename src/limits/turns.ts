import { rateLimited } from './counters.ts';

/** Maximum number of documents of one payer that wait; further ones are refused. */
const MAX_WAITING = 200;
const RETRY_AFTER_MS = 1_000;
/** Longest pause between two pieces of work, on a machine that is slow because of something else. */
const MAX_PAUSE_MS = 100;

/**
 * Gives expensive synchronous work one turn at a time: one piece in each turn of the event loop, and then as much time for
 * everything else as it took. Payers take turns, so that nobody waits behind all that another one has sent.
 *
 * Without it, requests of many connections that arrive together are all worked on before anything else is: 400 documents
 * of 2,000 tokens stopped a node for half a minute.
 *
 * @returns a function that resolves when it is a payer's turn; the work must follow without waiting for anything
 */
export function createTurns(): (payer: string) => Promise<void> {
  /** Those who wait, of each payer. The first payer is the next one. */
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
    // The work is done in the microtasks that follow.
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
