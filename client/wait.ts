/**
 * Returns the number of milliseconds to wait after some failures in a row: 200 ms doubled each time, at most 5 s. Half
 * of the time is random, so that clients do not reconnect all at once.
 */
export function backoff(failures: number): number {
  return (0.5 + Math.random() / 2) * Math.min(5_000, 200 * 2 ** failures);
}

/** Runs work that may never end, and returns its result. Rejects with a `TimeoutError` after `ms` milliseconds. */
export async function withTimeout<Value>(ms: number, work: () => Value | Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DOMException('The operation timed out.', 'TimeoutError'));
    }, ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until the time has passed or one of the signals fires. Never rejects. */
export async function wait(ms: number, ...signals: AbortSignal[]): Promise<void> {
  await withAbortSignal(
    ms,
    signals,
    (over) =>
      new Promise<void>((resolve) => {
        over.addEventListener('abort', () => {
          resolve();
        });
        if (over.aborted) resolve();
      }),
  );
}

/** Runs work with a signal that fires at the timeout, or when one of the given signals fires. */
export async function withAbortSignal<Value>(
  ms: number,
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  // `AbortSignal.any` would leak: a long-lived signal references all signals that were derived from it.
  const controller = new AbortController();
  const abort = () => {
    controller.abort();
  };
  const timer = setTimeout(abort, ms);
  const ends = signals.map((signal) => onAbort(signal, abort));
  if (signals.some(({ aborted }) => aborted)) abort();
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    for (const end of ends) end();
  }
}

const listenersOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls the listener when the signal fires. Returns a function that removes the listener. All listeners of a signal
 * share one event listener, because Node warns of a leak if a signal has more than ten.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let listeners = listenersOf.get(signal);
  if (!listeners) {
    const added = (listeners = new Set<() => void>());
    listenersOf.set(signal, added);
    signal.addEventListener('abort', () => {
      for (const each of [...added]) each();
    });
  }
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Calls the listener each time the page becomes visible. Returns a function that removes the listener. Without a page,
 * as in Node, the listener is never called.
 */
export function onVisible(listener: () => void): () => void {
  const { document: page } = globalThis as { document?: EventTarget & { visibilityState: string } };
  const onChange = () => {
    if (page?.visibilityState === 'visible') listener();
  };
  page?.addEventListener('visibilitychange', onChange);
  return () => page?.removeEventListener('visibilitychange', onChange);
}

/** Calls the listener when the browser has a network again, until the signal fires. */
export function onOnline(closed: AbortSignal, listener: () => void): void {
  onPage('online', closed, listener);
}

/** Calls the listener after another tab has changed `localStorage`, until the signal fires. */
export function onStorage(closed: AbortSignal, listener: () => void): void {
  onPage('storage', closed, listener);
}

/** Calls the listener for each event of the page's window, until the signal fires. In Node there are none. */
function onPage(event: string, closed: AbortSignal, listener: () => void): void {
  const page = globalThis as Partial<Pick<EventTarget, 'addEventListener' | 'removeEventListener'>>;
  page.addEventListener?.(event, listener);
  closed.addEventListener('abort', () => {
    page.removeEventListener?.(event, listener);
  });
}
