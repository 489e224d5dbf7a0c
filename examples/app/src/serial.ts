/** Returns a function that runs `load`, one call at a time. Calls that wait for the same run share its result. */
export function createSerial<Value>(load: () => Promise<Value>): () => Promise<Value> {
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Promise<Value> | null = null;
  return () => {
    waiting ??= running.then(() => {
      waiting = null;
      return load();
    });
    running = waiting.catch(() => undefined);
    return waiting;
  };
}
