import { type ChatError, errorOf, failed, isCrash } from './errors.ts';
import { type Resumption, resumptionOf } from './document.ts';
import type { Result } from './http.ts';
import { createQueue } from './queue.ts';
import { warnOfRateLimit } from './rateLimit.ts';
import type { SubscriptionEnd, Socket } from './socket.ts';
import { backoff, onAbort, wait } from './wait.ts';

export interface StreamOptions {
  /**
   * Called when the server can no longer replay the events after the cursor. Query the data and its cursor again, and
   * return that cursor. The stream continues after it. Without this callback, the stream ends with `RESYNC_REQUIRED`.
   * Not called for a stream with `snapshot: true`, which continues with a snapshot.
   */
  onResync?: (error: ChatError) => string | Promise<string>;
  /**
   * Called each time the stream has started: at the beginning, and when it has reconnected. Streams without a cursor may
   * have lost events since an earlier query, so query their data again.
   */
  onStarted?: () => void;
  /**
   * Called when the stream has reconnected. `messageAdded`, `chatroomEvents` and `events` have missed nothing. Other
   * streams may have lost events, so query their data again. The cursor of `viewerEvents` replays
   * all events but notices and the unread counts that new messages change.
   */
  onResumed?: () => void;
}

/**
 * The results of a subscription, in order. The stream reconnects automatically. `return()`, or leaving a `for await`
 * loop, ends it.
 */
export interface ChatStream<Data> extends AsyncIterableIterator<Data, undefined> {
  return(): Promise<IteratorResult<Data, undefined>>;
}

/**
 * Maximum number of buffered results of a stream with a cursor. A full stream unsubscribes, and resumes when the buffer
 * has been read.
 */
const MAX_BUFFERED = 1_000;
/**
 * Maximum number of failures in a row, without a result between them. The next failure ends the stream, unless the server
 * is only temporarily unavailable.
 */
const MAX_FAILURES = 5;

const CURSOR = '{ position: viewer { cursor } }';
const ROOM_CURSOR = 'query ($id: ID!) { position: chatroom(id: $id) { cursor } }';

/**
 * Reason for the end of an operation: a `SubscriptionEnd` of the socket, or
 *
 * - `begun`: the cursor to start from is known
 * - `full`: the buffer is full
 * - `thrown`: a result could not be processed
 */
type Finish = SubscriptionEnd | 'begun' | 'full' | { thrown: unknown };

interface Event {
  __typename?: string;
  cursor?: string;
  chatroom?: { id?: string };
  message?: { number?: number; chatroom?: { id?: string } };
}

/** Creates a stream. After each interruption, the stream subscribes again from the last cursor. */
export function createStream<Data>(
  { socket, closed }: { socket: Socket; closed: AbortSignal },
  query: string,
  variables: Record<string, unknown>,
  { onResync, onStarted, onResumed }: StreamOptions,
): ChatStream<Data> {
  const queue = createQueue<Data>();
  const stopped = new AbortController();
  const latest = new Map<string, number>();
  let resumption: Resumption | null = null;
  let after: string | null | undefined;
  let failures = 0;
  const isStopped = () => stopped.signal.aborted;

  /** Advances the cursor by one result. Returns false if the result is a duplicate. */
  function advance(result: Result<unknown>, { field, room }: Resumption): boolean {
    const [event] = Object.values(result.data ?? {}) as (Event | null)[];
    // An event whose type the document does not select has no cursor. The previous cursor stays valid.
    if (field === 'viewerEvents' || field === 'events') {
      after = event?.cursor ?? after;
      return true;
    }
    if (typeof event?.cursor !== 'string')
      throw new TypeError(`Select ${field} { cursor }, so that the stream can resume.`);
    after = event.cursor;
    if (field === 'chatroomEvents') {
      if (!event.__typename)
        throw new TypeError('Select chatroomEvents { __typename }, so that event types can be distinguished.');
      if (event.__typename === 'CaughtUp' || event.__typename === 'RoomSnapshot') socket.catchUp(stream, false);
      return true;
    }
    const { number } = event.message ?? {};
    const chatroomId = event.chatroom?.id ?? event.message?.chatroom?.id;
    // Skips messages that the server repeats after a reconnect. The all-rooms cursor advances only once a second.
    if (room === null || variables[room] == null) {
      if (number === undefined || chatroomId === undefined)
        throw new TypeError(
          'Select messageAdded { chatroom { id } message { number } }, so that duplicates can be detected.',
        );
      if (number <= (latest.get(chatroomId) ?? 0)) return false;
      latest.set(chatroomId, number);
    }
    return true;
  }

  /** Runs one operation over the socket until it ends or `finish` is called. */
  function operate(
    text: string,
    given: object,
    onResult: (result: Result<unknown>, finish: (ending: Finish) => void) => void,
    onOpen: () => void = () => undefined,
  ): Promise<Finish> {
    return new Promise((resolve) => {
      let over = false;
      const finish = (ending: Finish) => {
        if (over) return;
        over = true;
        stopped.signal.removeEventListener('abort', stop);
        unsubscribe();
        resolve(ending);
      };
      const stop = () => {
        finish('complete');
      };
      const unsubscribe = socket.subscribe(text, given, {
        onOpen,
        onResult(result) {
          if (over) return;
          try {
            // A result with errors does not advance the cursor, so the stream resumes before it.
            if (result.errors) finish(failed(result.errors));
            else onResult(result, finish);
          } catch (thrown) {
            finish({ thrown });
          }
        },
        onEnd: finish,
      });
      stopped.signal.addEventListener('abort', stop);
    });
  }

  /**
   * Queries the current cursor of the room or of all rooms. A stream that starts from this cursor can resume even
   * before its first event. A stream with `snapshot: true` needs no such query.
   */
  function begin({ room }: Resumption): Promise<Finish> {
    const id = room === null ? null : variables[room];
    const text = id == null ? CURSOR : ROOM_CURSOR;
    return operate(text, { id }, ({ data }, finish) => {
      const { position } = data as { position: { cursor: string | null } | null };
      // There is no cursor if the viewer may not see the room. The subscription then fails with the server's error.
      after = position?.cursor ?? '';
      finish('begun');
    });
  }

  function listen(again: boolean): Promise<Finish> {
    const position = resumption && { [resumption.after]: after === '' ? null : after };
    return operate(
      query,
      { ...variables, ...position },
      (result, finish) => {
        if (resumption && !advance(result, resumption)) return;
        failures = 0;
        queue.push(result.data as Data);
        if (queue.length >= MAX_BUFFERED && resumption) finish('full');
      },
      () => {
        // Called after the subscription has been sent, so that a query in the callback misses no event.
        setTimeout(() => {
          if (isStopped()) return;
          onStarted?.();
          if (again) onResumed?.();
        });
      },
    );
  }

  async function run(): Promise<void> {
    resumption = resumptionOf(query);
    if (resumption) after = variables[resumption.after] as string | null | undefined;
    for (let again = false; !isStopped();) {
      await socket.ready();
      if (isStopped()) return;
      if (resumption?.field === 'chatroomEvents') socket.catchUp(stream, true);
      const begins = resumption && !resumption.snapshot && after == null ? resumption : null;
      const ending = await (begins ? begin(begins) : listen(again));
      if (isStopped()) return;
      again ||= !begins;
      if (ending === 'full') await queue.empty();
      else if (ending === 'complete') await wait(backoff((failures += 1)), stopped.signal);
      else if (typeof ending === 'object') {
        if ('thrown' in ending) throw ending.thrown;
        await recover(ending);
      }
    }
  }

  async function recover(error: ChatError): Promise<void> {
    failures += 1;
    const isOutage = error.code === 'INTERNAL_SERVER_ERROR' && !isCrash(error);
    if (failures > MAX_FAILURES && !isOutage) throw error;
    if (error.code === 'RESYNC_REQUIRED' && onResync) {
      after = await onResync(error);
      // Message numbers may start again, for example if the server's database was replaced.
      latest.clear();
    } else if (error.code === 'TOKEN_EXPIRED' || error.code === 'UNAUTHENTICATED') socket.reconnectWithNewToken();
    else if (error.code === 'INTERNAL_SERVER_ERROR' || error.code === 'RATE_LIMITED') {
      const pause = Math.max(errorOf(error)?.retryAfterMs ?? 0, backoff(failures));
      warnOfRateLimit(error, pause, closed);
      await wait(pause, stopped.signal);
    } else throw error;
  }

  const stream: ChatStream<Data> = {
    [Symbol.asyncIterator]: () => stream,
    next: queue.next,
    return() {
      stopped.abort();
      queue.end();
      return Promise.resolve({ value: undefined, done: true });
    },
  };
  const stop = () => void stream.return();
  const forget = onAbort(closed, stop);
  const leave = socket.addStream(stream);
  void run()
    .then(
      () => {
        queue.end();
      },
      (error: unknown) => {
        queue.end(error);
      },
    )
    .finally(() => {
      forget();
      leave();
    });
  return stream;
}
