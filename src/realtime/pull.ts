/** What is there already, or will be. */
export type MaybePromise<Value> = Value | Promise<Value>;

/** What comes next; null where there is nothing yet. */
export type Pulled<Value> = IteratorResult<Value, undefined> | null;

/**
 * A stream that is read without waiting. A thousand subscribers of a room are handed an event in one loop: what an await
 * costs, a thousand times and in each layer, would be most of the cost of a delivery.
 *
 * It is asked again only when its last answer is there. What it rejects with, or throws, is the end: whoever pulled ends it.
 */
export interface Source<Value> {
  /** What comes next. A promise while something must be loaded for it. */
  pull: () => MaybePromise<Pulled<Value>>;
  /** Sets the function that is called when there may be something again after null. There is one; it must not throw. */
  onReady: (listener: () => void) => void;
  /** False where another pull now would answer null, and is not worth the way through all that it is made of. */
  hasMore?: (() => boolean) | undefined;
  /** What is known already to come next, where that is of use to somebody; it need not be all. */
  upcoming?: (() => readonly object[]) | undefined;
  /** Ends it, and gives back what it holds. */
  end: () => void;
}

/** The same, for those who wait. */
export type Stream<Value> = Source<Value> & AsyncIterableIterator<Value, undefined>;

/** Goes on with a value, at once if it is there. */
export function proceed<Value, Result>(
  value: MaybePromise<Value>,
  next: (value: Value) => MaybePromise<Result>,
): MaybePromise<Result> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Pulls until something is not passed over; what is, is undefined. A loop: however much it is, the stack does not grow. */
export function skip<Value>(pull: () => MaybePromise<Pulled<Value> | undefined>): MaybePromise<Pulled<Value>> {
  for (;;) {
    const pulled = pull();
    if (pulled instanceof Promise) return pulled.then((later) => (later === undefined ? skip(pull) : later));
    if (pulled !== undefined) return pulled;
  }
}

export const done = { value: undefined, done: true } as const;

/**
 * Makes a source an async iterator too; one reads it as the one or as the other.
 *
 * A plain object, since `return()` of an async generator waits for a pending `next()`, which may never come. And one that
 * names its fields, as all do here of which a node has thousands and that each delivery goes through: V8 gives every object
 * that begins with a spread and goes on with other fields a hidden class of its own, and finds the fields of thousands of
 * classes the slow way.
 */
export function asStream<Value>(source: Source<Value>): Stream<Value> {
  const { pull, onReady, hasMore, upcoming, end } = source;
  let calls = 0;
  let wake = () => {};
  let turn: Promise<unknown> = Promise.resolve();

  async function next(): Promise<IteratorResult<Value, undefined>> {
    onReady(() => {
      calls += 1;
      wake();
    });
    try {
      for (;;) {
        const before = calls;
        const pulled = await pull();
        if (pulled) return pulled;
        if (calls === before) await new Promise<void>((resolve) => (wake = resolve));
      }
    } catch (error) {
      end();
      throw error;
    }
  }

  const stream: Stream<Value> = {
    pull,
    onReady,
    hasMore,
    upcoming,
    end,
    [Symbol.asyncIterator]: () => stream,
    next() {
      const result = turn.then(next);
      turn = result.catch(() => undefined);
      return result;
    },
    return() {
      end();
      return Promise.resolve(done);
    },
  };
  return stream;
}

export function isSource(value: object): value is Source<object> {
  return 'pull' in value;
}

/** Reads an async iterator as a source: there is always a promise of what comes next. */
export function asSource<Value>(iterator: AsyncIterator<Value, undefined>): Source<Value> {
  return {
    pull: () => iterator.next(),
    onReady: () => undefined,
    end: () => void iterator.return?.(),
  };
}
