import { useRef, useState } from 'react';
import { wordError } from '../errors.ts';

/**
 * The action of a button, with its progress and its error. Make the button `aria-disabled` while the action is busy,
 * because a disabled button would lose the focus.
 */
export interface Action<Args extends unknown[]> {
  /** Runs the action, unless it is already running. Returns whether it succeeded. */
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
