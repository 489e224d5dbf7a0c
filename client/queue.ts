/** An unbounded queue of pushed values, read one at a time with `next`. */
export interface Queue<Value> {
  readonly length: number;
  push(value: Value): void;
  /**
   * Ends the queue. The remaining values can still be read. After them, `next` throws the error once, if there is one.
   */
  end(error?: unknown): void;
  /** Resolves when all values have been read, or the queue has ended. */
  empty(): Promise<void>;
  next: () => Promise<IteratorResult<Value, undefined>>;
}

export function createQueue<Value>(): Queue<Value> {
  const values: Value[] = [];
  let over: { error: unknown } | null = null;
  let wake: () => void = () => undefined;
  let onEmpty: () => void = () => undefined;
  return {
    get length() {
      return values.length;
    },
    push(value) {
      values.push(value);
      wake();
    },
    end(error) {
      over ??= { error };
      wake();
      onEmpty();
    },
    async empty() {
      if (values.length > 0 && !over) await new Promise<void>((resolve) => (onEmpty = resolve));
    },
    async next() {
      for (;;) {
        const [value] = values.splice(0, 1);
        if (values.length === 0) onEmpty();
        if (value !== undefined) return { value, done: false };
        if (over) {
          const { error } = over;
          // Only the first call throws the error.
          over = { error: undefined };
          if (error !== undefined) throw error as Error;
          return { value: undefined, done: true };
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
