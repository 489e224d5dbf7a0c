/** What comes by itself, to be taken one after the other. */
export interface Queue<Value> {
  readonly length: number;
  push(value: Value): void;
  /** What is left can still be taken. */
  end(error?: unknown): void;
  /** Resolves when everything has been taken. */
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
          // It is said once.
          over = { error: undefined };
          if (error !== undefined) throw error as Error;
          return { value: undefined, done: true };
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
