import { useState } from 'react';
import { wordError } from '../errors.ts';

/** What a button does, whether it is under way, and what the server said if it failed. */
export interface Action<Args extends unknown[]> {
  /** Answers whether it was done. */
  run: (...args: Args) => Promise<boolean>;
  busy: boolean;
  problem: string | null;
}

export function useAction<Args extends unknown[]>(work: (...args: Args) => Promise<unknown>): Action<Args> {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  return {
    busy,
    problem,
    async run(...args) {
      setBusy(true);
      setProblem(null);
      try {
        await work(...args);
        return true;
      } catch (error) {
        setProblem(wordError(error));
        return false;
      } finally {
        setBusy(false);
      }
    },
  };
}
