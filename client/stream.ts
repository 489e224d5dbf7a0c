import { type ChatError, errorOf, failed } from './errors.ts';
import { type Resumption, resumptionOf } from './document.ts';
import type { Result } from './http.ts';
import { createQueue } from './queue.ts';
import type { Ending, Socket } from './socket.ts';
import { backoff, onAbort, wait } from './wait.ts';

export interface StreamOptions {
  /**
   * What was missed cannot be had by the cursor any more: query again, and answer the cursor of that query, after which the
   * stream goes on. Without it the stream ends with `RESYNC_REQUIRED`.
   */
  onResync?: (error: ChatError) => string | Promise<string>;
  /**
   * The stream has been taken up again after it was cut off. Those with a cursor have missed nothing; the others are hints:
   * query what they hint at again. Of `viewerEvents`, only the rooms that appeared or vanished follow a cursor.
   */
  onResumed?: () => void;
}

/** The results of a subscription, one after the other. It comes back by itself; `return()`, or leaving the loop, ends it. */
export interface ChatStream<Data> extends AsyncIterableIterator<Data, undefined> {
  return(): Promise<IteratorResult<Data, undefined>>;
}

/** What a stream holds for somebody who does not take it; it is fetched again when they do. */
const MOST_HELD = 1_000;
/** What fails so many times in a row, with nothing received in between, will not succeed by itself. */
const MOST_FAILURES = 5;

const PRESENT = '{ place: viewer { cursor } }';
const PRESENT_IN_ROOM = 'query ($id: ID!) { place: chatroom(id: $id) { cursor } }';

/** How an operation ended: as its socket says, or because it has given enough, or more than is taken, or what is of no use. */
type Finish = Ending | 'begun' | 'full' | { thrown: unknown };

interface Event {
  __typename?: string;
  cursor?: string;
  chatroom?: { id?: string };
  message?: { number?: number; chatroom?: { id?: string } };
}

/** Subscribes, and again after whatever has cut it off, each time after the last cursor. */
export function createStream<Data>(
  { socket, closed }: { socket: Socket; closed: AbortSignal },
  query: string,
  variables: Record<string, unknown>,
  { onResync, onResumed }: StreamOptions,
): ChatStream<Data> {
  const queue = createQueue<Data>();
  const stopped = new AbortController();
  const latest = new Map<string, number>();
  let resumption: Resumption | null = null;
  let after: string | null | undefined;
  let failures = 0;
  const isStopped = () => stopped.signal.aborted;

  /** Takes one result; false where it is a repeat. */
  function take(result: Result<unknown>, { field, room }: Resumption): boolean {
    const [event] = Object.values(result.data ?? {}) as (Event | null)[];
    // Event types that the document does not know come without a cursor: the one before them still holds.
    if (field === 'viewerEvents') {
      after = event?.cursor ?? after;
      return true;
    }
    if (typeof event?.cursor !== 'string')
      throw new TypeError(`Select ${field} { cursor }, so that the stream can resume.`);
    after = event.cursor;
    if (field === 'chatroomEvents') {
      if (!event.__typename) throw new TypeError('Select chatroomEvents { __typename }, which tells events apart.');
      if (event.__typename === 'CaughtUp') socket.catchUp(stream, false);
      return true;
    }
    const { number } = event.message ?? {};
    const chatroomId = event.chatroom?.id ?? event.message?.chatroom?.id;
    // Over all rooms the cursor moves on once a second: what came since is repeated after a resume.
    if (room === null || variables[room] == null) {
      if (number === undefined || chatroomId === undefined)
        throw new TypeError(
          'Select messageAdded { chatroom { id } message { number } }: what comes twice is told by them.',
        );
      if (number <= (latest.get(chatroomId) ?? 0)) return false;
      latest.set(chatroomId, number);
    }
    return true;
  }

  /** One operation over the socket, until it ends, or its results are enough. */
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
            // Nothing that failed is passed over: the stream comes back before it.
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

  /** Where the room, or all rooms, stand now: a stream that begins here misses nothing, however soon it is cut off. */
  function begin({ room }: Resumption): Promise<Finish> {
    const id = room === null ? null : variables[room];
    const text = id == null ? PRESENT : PRESENT_IN_ROOM;
    return operate(text, { id }, ({ data }, finish) => {
      const { place } = data as { place: { cursor: string | null } | null };
      // Where there is none, the subscription is refused, and says why.
      after = place?.cursor ?? '';
      finish('begun');
    });
  }

  function listen(again: boolean): Promise<Finish> {
    const position = resumption && { [resumption.after]: after === '' ? null : after };
    return operate(
      query,
      { ...variables, ...position },
      (result, finish) => {
        if (resumption && !take(result, resumption)) return;
        failures = 0;
        queue.push(result.data as Data);
        if (queue.length >= MOST_HELD && resumption) finish('full');
      },
      () => {
        // After the subscription has been sent.
        if (again) setTimeout(() => onResumed?.());
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
      const begins = resumption && after == null ? resumption : null;
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
    if (failures > MOST_FAILURES) throw error;
    if (error.code === 'RESYNC_REQUIRED' && onResync) {
      after = await onResync(error);
      // It may be another database, which counts anew.
      latest.clear();
    } else if (error.code === 'TOKEN_EXPIRED' || error.code === 'UNAUTHENTICATED') socket.refuse();
    else if (error.code === 'INTERNAL_SERVER_ERROR' || error.code === 'RATE_LIMITED')
      await wait(Math.max(errorOf(error)?.retryAfterMs ?? 0, backoff(failures)), stopped.signal);
    else throw error;
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
  const leave = socket.enter(stream);
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
