/** A value that is available now, or a promise of it. */
export type MaybePromise<Value> = Value | Promise<Value>;

/** Next result of a source. Null if there is none yet. */
export type Next<Value> = IteratorResult<Value, undefined> | null;

/** A group of subscribers. Each event is executed once for the whole group. */
export interface SubscriberGroup {
  /** Returns a promise that resolves when the running execution of an event has ended. Null if none is running. */
  pending(event: object): Promise<unknown> | null;
}

/**
 * A stream that can be read without `await`. One loop may deliver an event to a thousand subscribers of a room. If each
 * layer used `await` for each subscriber, the promises would be most of the cost of a delivery.
 *
 * A caller pulls again only after the previous result is available. A source that throws or rejects has failed, and the
 * caller must call `end`.
 */
export interface Source<Value> {
  /**
   * Returns the next result, or null if there is none yet. Returns a promise only if something must be loaded first.
   */
  pull(): MaybePromise<Next<Value>>;
  /**
   * Sets the listener and replaces the previous one. After a pull has returned null, the listener is called when the
   * next pull may return a result. The listener must not throw.
   *
   * @param group the group to which the subscriber belongs, if there is one
   */
  onReady(listener: () => void, group?: SubscriberGroup | null): void;
  /** Returns false if `pull` would return null now. The check is cheap and saves a pull through every layer. */
  hasMore?(): boolean;
  /** True if the first result exists at once. The subscription then executes that result while it is set up. */
  readonly startsAtOnce?: boolean;
  /** Returns the events that come next and are already in memory. The list may be incomplete. */
  lookahead?(): readonly object[];
  /** Ends the source and releases its resources. */
  end(): void;
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

/**
 * Pulls until the result is defined. `pull` returns undefined for a skipped event. A loop, because recursion could
 * overflow the stack.
 */
export function pullPast<Value>(pull: () => MaybePromise<Next<Value> | undefined>): MaybePromise<Next<Value>> {
  for (;;) {
    const pulled = pull();
    if (pulled instanceof Promise) return pulled.then((later) => (later === undefined ? pullPast(pull) : later));
    if (pulled !== undefined) return pulled;
  }
}

/**
 * Calls `handle` for each value of a source, in order, and waits for its promise before the next pull. Unlike `for await`,
 * this function creates no promise for values in memory.
 *
 * @returns a promise that resolves when the source has ended. If the source or `handle` fails, ends the source and
 *   rejects.
 */
export function forEach<Value>(source: Source<Value>, handle: (value: Value) => MaybePromise<void>): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    let isPulling = false;
    /** A call of the listener during a pull means that the next pull may return a value. */
    let wasCalled = false;
    const fail = (error: Error) => {
      source.end();
      reject(error);
    };

    function pullAll(): void {
      isPulling = true;
      try {
        for (;;) {
          wasCalled = false;
          const step = andThen(source.pull(), handleNext);
          if (step instanceof Promise) {
            step.then(pullMore, fail);
            return;
          }
          if (!mayHaveMore(step)) return;
        }
      } catch (error) {
        fail(error as Error);
      }
    }

    function handleNext(next: Next<Value>): MaybePromise<Next<Value>> {
      return next && !next.done ? andThen(handle(next.value), () => next) : next;
    }

    function pullMore(last: Next<Value>): void {
      if (mayHaveMore(last)) pullAll();
    }

    function mayHaveMore(last: Next<Value>): boolean {
      if (last?.done) resolve();
      else if (last ?? wasCalled) return true;
      else isPulling = false;
      return false;
    }

    source.onReady(() => {
      wasCalled = true;
      if (!isPulling) pullAll();
    });
    pullAll();
  });
}

/** Result of a source that has ended. */
export const done = { value: undefined, done: true } as const;

/** Returns a source that is also an async iterator. A reader uses either `pull` or the iterator, not both. */
export function toAsyncIterator<Value>(source: Source<Value>): Stream<Value> {
  return new SourceStream(source);
}

/**
 * A source as an async iterator. Not an async generator, because the `return()` of a generator waits for a pending
 * `next()`, which may never resolve.
 */
class SourceStream<Value> implements Stream<Value> {
  readonly #source: Source<Value>;
  /** Resolves when the last call of `next` has ended. Null before the first call, which most streams never get. */
  #turn: Promise<unknown> | null = null;
  /** Number of calls of the `onReady` listener. A call during a pull means that the next pull may return a result. */
  #calls = 0;
  #wake: (() => void) | null = null;

  constructor(source: Source<Value>) {
    this.#source = source;
  }

  pull(): MaybePromise<Next<Value>> {
    return this.#source.pull();
  }

  onReady(listener: () => void, group: SubscriberGroup | null = null): void {
    this.#source.onReady(listener, group);
  }

  get startsAtOnce(): boolean {
    return this.#source.startsAtOnce ?? false;
  }

  hasMore(): boolean {
    return this.#source.hasMore?.() ?? true;
  }

  lookahead(): readonly object[] {
    return this.#source.lookahead?.() ?? [];
  }

  end(): void {
    this.#source.end();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Value, undefined>> {
    const result = this.#turn ? this.#turn.then(() => this.#next()) : this.#next();
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #next(): Promise<IteratorResult<Value, undefined>> {
    this.#source.onReady(() => {
      this.#calls += 1;
      this.#wake?.();
    });
    try {
      for (;;) {
        const before = this.#calls;
        const pulled = await this.#source.pull();
        if (pulled) return pulled;
        if (this.#calls === before) await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } catch (error) {
      this.end();
      throw error;
    }
  }

  return(): Promise<IteratorResult<Value, undefined>> {
    this.end();
    return Promise.resolve(done);
  }
}

/** Returns whether an object is a source. */
export function isSource(value: object): value is Source<object> {
  return 'pull' in value;
}

/** Wraps an async iterator as a source. `pull` always returns a promise. */
export function toSource<Value>(
  iterator: AsyncIterator<Value, undefined> & Pick<Source<Value>, 'startsAtOnce'>,
): Source<Value> {
  const { startsAtOnce = false } = iterator;
  return {
    pull: () => iterator.next(),
    onReady: () => undefined,
    startsAtOnce,
    end: () => void iterator.return?.(),
  };
}
