import { isTemporary } from '../errors.ts';
import { backoff } from '../wait.ts';
import type { MessageKey } from './documents.ts';
import { failureOf } from './failure.ts';

/** Minimum time between two `markRead` requests, which limits the requests in a busy room. */
const INTERVAL_MS = 1_000;

/** Marks messages of a room as read after the viewer has seen them. */
export interface ReadMarker {
  /** Marks a message and all earlier ones as read. Retries after temporary errors. */
  mark: (message: MessageKey) => void;
  /**
   * Sends a `markUnread` request. If it succeeds, nothing is marked as read until `resume`, because the messages are
   * still on the screen. If it fails, marking continues.
   */
  markUnread: <Result>(request: () => Promise<Result>) => Promise<Result>;
  resume: () => void;
  /** Sends a waiting mark immediately, without retries, then stops. */
  stop: () => void;
}

/** The read markers of the open rooms. All components that show the same room share its marker. */
export interface ReadMarkers {
  /**
   * Returns the marker of a room. Creates it on the first call. The marker stops after all callers have released it.
   */
  open: (chatroomId: string, markRead: (messageId: string) => Promise<unknown>) => ReadMarker;
  release: (chatroomId: string) => void;
}

export function createReadMarkers(): ReadMarkers {
  const markers = new Map<string, { marker: ReadMarker; users: number }>();
  return {
    open(chatroomId, markRead) {
      const known = markers.get(chatroomId) ?? { marker: createReadMarker(markRead), users: 0 };
      known.users += 1;
      markers.set(chatroomId, known);
      return known.marker;
    },
    release(chatroomId) {
      const known = markers.get(chatroomId);
      if (!known || (known.users -= 1) > 0) return;
      markers.delete(chatroomId);
      known.marker.stop();
    },
  };
}

/** Creates the read marker of a room. It sends one request at a time. */
export function createReadMarker(markRead: (messageId: string) => Promise<unknown>): ReadMarker {
  let seen: MessageKey | null = null;
  /** Number of the last message that needs no further `markRead` request. */
  let marked = 0;
  let paused = false;
  let stopped = false;
  let failures = 0;
  let sending: Promise<void> | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function next(): void {
    if (paused || sending || timer !== undefined || !seen || seen.number <= marked) return;
    sending = send(seen).then((pause) => {
      sending = null;
      if (stopped) return;
      timer = setTimeout(() => {
        timer = undefined;
        next();
      }, pause);
    });
  }

  /** Sends a request. Returns the number of milliseconds until the next request. */
  async function send({ id, number }: MessageKey): Promise<number> {
    try {
      await markRead(id);
      [marked, failures] = [number, 0];
      return INTERVAL_MS;
    } catch (error) {
      const failure = failureOf(error);
      if (!isTemporary(failure)) marked = number;
      return Math.max(INTERVAL_MS, backoff((failures += 1)), failure.retryAfterMs ?? 0);
    }
  }

  return {
    mark(message) {
      if (stopped || message.number <= (seen?.number ?? 0)) return;
      seen = message;
      next();
    },
    async markUnread(request) {
      const before = paused;
      paused = true;
      try {
        // Waits for a running `markRead`, which would undo `markUnread` if it arrived later.
        await sending;
        const result = await request();
        [seen, marked, paused] = [null, 0, true];
        return result;
      } catch (error) {
        paused = before;
        next();
        throw error;
      }
    },
    resume() {
      paused = false;
      next();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
      timer = undefined;
      if (sending) void sending.then(next);
      else next();
    },
  };
}
