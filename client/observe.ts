interface Observer<Value> {
  next: (value: Value) => void;
  error: (error: unknown) => void;
  complete: () => void;
}

/** Passes all values of a stream to an observer. Returns a function that unsubscribes and ends the stream. */
export function observe<Value>(
  values: { next(): Promise<IteratorResult<Value, undefined>>; return(): Promise<unknown> },
  observer: Observer<Value>,
): () => void {
  let stopped = false;
  async function run(): Promise<void> {
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
    void values.return();
  };
}
