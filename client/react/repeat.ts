/**
 * Returns a function that runs `load`, one run at a time. A call during a run starts another run afterwards, because the
 * response may be outdated. `load` must not reject.
 */
export function repeatable(load: () => Promise<void>): () => void {
  let state: 'idle' | 'loading' | 'outdated' = 'idle';
  return function run() {
    if (state !== 'idle') {
      state = 'outdated';
      return;
    }
    state = 'loading';
    void load().finally(() => {
      const isOutdated = state === 'outdated';
      state = 'idle';
      if (isOutdated) run();
    });
  };
}
