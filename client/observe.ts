interface Observer<Value> {
  next: (value: Value) => void;
  error: (error: unknown) => void;
  complete: () => void;
}

interface Values<Value> {
  next(): Promise<IteratorResult<Value, undefined>>;
  return(): Promise<unknown>;
}

/**
 * Starts a stream and passes all values to an observer, and the error if the stream cannot be started. Returns a
 * function that unsubscribes and ends the stream.
 */
export function observe<Value>(start: () => Values<Value>, observer: Observer<Value>): () => void {
  let values: Values<Value> | undefined;
  let stopped = false;
  async function run(): Promise<void> {
    values = start();
    for (;;) {
      const { value, done } = await values.next();
      if (stopped) return;
      if (done) {
        observer.complete();
        return;
      }
      observer.next(value);
    }
  }
  run().catch((error: unknown) => {
    if (!stopped) observer.error(error);
  });
  return () => {
    stopped = true;
    void values?.return();
  };
}
