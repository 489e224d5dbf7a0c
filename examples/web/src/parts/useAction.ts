import { useRef, useState } from 'react';
import { wordError } from '../errors.ts';

/**
 * What a button does, whether it is under way, and what the server said if it failed. Meanwhile the button is `aria-disabled`:
 * a disabled one would lose the focus.
 */
export interface Action<Args extends unknown[]> {
  /** Does the work, unless it is under way. Returns whether it was done. */
  run: (...args: Args) => Promise<boolean>;
  busy: boolean;
  problem: string | null;
}

export function useAction<Args extends unknown[]>(work: (...args: Args) => Promise<unknown>): Action<Args> {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const isRunning = useRef(false);
  return {
    busy,
    problem,
    async run(...args) {
      if (isRunning.current) return false;
      isRunning.current = true;
      setBusy(true);
      setProblem(null);
      try {
        await work(...args);
        return true;
      } catch (error) {
        setProblem(wordError(error));
        return false;
      } finally {
        isRunning.current = false;
        setBusy(false);
      }
    },
  };
}
