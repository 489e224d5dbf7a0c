/** How long to wait after so many failures in a row: the half is chance, so that not all come back at once. */
export function backoff(failures: number): number {
  return (0.5 + Math.random() / 2) * Math.min(5_000, 200 * 2 ** failures);
}

/** Does something that may never end. Rejects if it takes longer. */
export async function deadline<Value>(ms: number, work: () => Value | Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DOMException('It takes too long.', 'TimeoutError'));
    }, ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits, or less long if a signal fires meanwhile. */
export async function wait(ms: number, ...signals: AbortSignal[]): Promise<void> {
  await within(
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

/** Does something with a signal that fires after so long, or when one of these does. */
export async function within<Value>(
  ms: number,
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  // Not by AbortSignal.any: signals that live long would remember all those that were made of them.
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
 * Calls the listener when the signal fires. Returns a function that ends this. All listeners share one of the signal, because Node
 * warns of a leak at the eleventh.
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

/** Calls the listener when the browser has a network again, until the signal fires. */
export function onOnline(closed: AbortSignal, listener: () => void): void {
  const page = globalThis as Partial<Pick<EventTarget, 'addEventListener' | 'removeEventListener'>>;
  page.addEventListener?.('online', listener);
  closed.addEventListener('abort', () => {
    page.removeEventListener?.('online', listener);
  });
}
