/** A value that is available now, or a promise of it. */
export type MaybePromise<Value> = Value | Promise<Value>;

/** Next result of a source. Null if there is none yet. */
export type Next<Value> = IteratorResult<Value, undefined> | null;

/**
 * A stream that can be read without `await`. One loop may deliver an event to a thousand subscribers of a room. If each
 * layer used `await` for each subscriber, that would be most of the cost of a delivery.
 *
 * A caller pulls again only after the previous result is available. A source that throws or rejects has failed, and the
 * caller must call `end`.
 */
export interface Source<Value> {
  /** Returns the next result. Returns a promise only if something must be loaded first. */
  pull: () => MaybePromise<Next<Value>>;
  /**
   * Sets the function that is called when a pull after null may return a result. The function must not throw. A later
   * call replaces the function.
   */
  onReady: (listener: () => void) => void;
  /** Cheap check: false if `pull` would return null right now. Saves a pull through every layer. */
  hasMore?: (() => boolean) | undefined;
  /** Returns events that are already loaded and come next. The list may be incomplete. */
  lookahead?: (() => readonly object[]) | undefined;
  /** Ends the source and releases its resources. */
  end: () => void;
}

/** A source that is also an async iterator. */
export type Stream<Value> = Source<Value> & AsyncIterableIterator<Value, undefined>;

/** Calls `next` with a value: synchronously if the value is available, otherwise when its promise resolves. */
export function andThen<Value, Result>(
  value: MaybePromise<Value>,
  next: (value: Value) => MaybePromise<Result>,
): MaybePromise<Result> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Pulls until the result is defined; undefined marks a skipped event. Loops, so that the stack does not grow. */
export function pullPast<Value>(pull: () => MaybePromise<Next<Value> | undefined>): MaybePromise<Next<Value>> {
  for (;;) {
    const pulled = pull();
    if (pulled instanceof Promise) return pulled.then((later) => (later === undefined ? pullPast(pull) : later));
    if (pulled !== undefined) return pulled;
  }
}

/** Result of a source that has ended. */
export const done = { value: undefined, done: true } as const;

/**
 * Makes a source an async iterator too. A reader uses either `pull` or the iterator, not both.
 *
 * Returns a plain object, because `return()` of an async generator waits for a pending `next()`, which may never
 * resolve.
 *
 * Each field is named instead of spreading `source`. V8 creates a separate hidden class for each object whose literal
 * starts with a spread and adds fields. A node has thousands of these objects on the delivery path, and property access
 * across thousands of hidden classes is slow.
 */
export function toAsyncIterator<Value>(source: Source<Value>): Stream<Value> {
  const { pull, onReady, hasMore, lookahead, end } = source;
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
    lookahead,
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

/** Returns whether an object is a source. */
export function isSource(value: object): value is Source<object> {
  return 'pull' in value;
}

/** Wraps an async iterator as a source. `pull` always returns a promise. */
export function toSource<Value>(iterator: AsyncIterator<Value, undefined>): Source<Value> {
  return {
    pull: () => iterator.next(),
    onReady: () => undefined,
    end: () => void iterator.return?.(),
  };
}
