import { errorOf, type Failure, isTemporary } from '../errors.ts';
import type { ChatClient } from '../index.ts';
import { isConnected } from '../socket.ts';
import { backoff } from '../wait.ts';
import { failureOf } from './failure.ts';
import type { SetState } from './store.ts';

/** Callbacks of a load and its streams. */
export interface Progress {
  /** Called when the data has been loaded. */
  onLoaded: () => void;
  /** Called when the load or a stream has failed. May be called by several streams. */
  onError: (error: unknown) => void;
}

/** A load and its streams, which are repeated after temporary errors. */
export interface KeptOpen {
  /** Stops, and starts again at once. Does nothing after `close`. */
  reopen: () => void;
  close: () => void;
}

/**
 * Starts a load and its streams. After a temporary error, such as an outage of the server's database, stops them and
 * starts them again with backoff until the load succeeds. A restored connection ends the pause.
 * The state of the store has the error until then. `open` starts them and returns a function that stops them.
 */
export function keepOpen(
  client: Pick<ChatClient, 'onState'>,
  set: SetState<{ error: Failure | null; loading: boolean }>,
  open: (progress: Progress) => () => void,
): KeptOpen {
  let failures = 0;
  let isClosed = false;
  let wasConnected = true;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop: () => void = () => undefined;

  function reopen(): void {
    if (isClosed) return;
    cancel();
    let stopped = false;
    let hasFailed = false;
    const end = open({
      onLoaded() {
        // A load does not repair a stream that has failed.
        if (stopped || hasFailed) return;
        failures = 0;
        set({ error: null });
      },
      onError(error) {
        if (stopped) return;
        hasFailed = true;
        set({ error: failureOf(error), loading: false });
        retryAfter(error);
      },
    });
    stop = () => {
      stopped = true;
      end();
    };
  }

  function retryAfter(error: unknown): void {
    // Null for an error of the application, which a retry would repeat.
    const failure = errorOf(error);
    if (timer !== undefined || !failure || !isTemporary(failure)) return;
    timer = setTimeout(reopen, Math.max(failure.retryAfterMs ?? 0, backoff(failures)));
    failures += 1;
  }

  function cancel(): void {
    clearTimeout(timer);
    timer = undefined;
    stop();
    stop = () => undefined;
  }

  const unlisten = client.onState((state) => {
    const isNew = isConnected(state) && !wasConnected;
    wasConnected = isConnected(state);
    if (isNew && timer !== undefined) reopen();
  });
  reopen();
  return {
    reopen,
    close() {
      isClosed = true;
      unlisten();
      cancel();
    },
  };
}
