import { createReadMarker, type ReadMarker } from '../../client/react/readMarker.ts';
import type { Sender } from '../clients/client.ts';
import type { Page, PageClient, PageOptions, PageStream } from '../clients/page.ts';
import { bodyOf } from './audience.ts';
import { eachOf } from './benchmark.ts';

const WARM_UP_MS = 60_000;
const BITS: Record<PageStream, number> = { list: 1, room: 2 };
const BOTH = BITS.list | BITS.room;

/** A message, and the streams over which each page has received it. */
interface Arrivals {
  /** Run and index from the body, which only the stream of the room carries; -1 until then. */
  run: number;
  index: number;
  arrived: Uint8Array;
  /** Times at which a page had received the message over both streams. */
  times: number[];
}

/** Open pages of one room. A duplicate message, an error or a closed socket fails the run. */
export interface Pages {
  size: number;
  /** Sends messages until every page receives them over both streams. Then sends bursts of all senders for `runInMs`. */
  warmUp(senders: readonly Sender[], runInMs: number): Promise<void>;
  /** Starts a new run, whose messages are counted from 0. Returns its number. */
  begin(): number;
  /** Resolves to true when every page has received `count` messages over both streams, or to false at the deadline. */
  complete(count: number, deadline: number): Promise<boolean>;
  /** Results of this run so far. */
  results(): {
    /** Number of messages that every page has received over both streams, and the time of the last one. */
    complete: number;
    lastAt: number;
    /** Times at which a page had received a message over both streams, by message. */
    times: readonly (readonly number[])[];
    /** Number of events of all streams, of marks, and of images that were loaded. */
    events: number;
    marks: number;
    images: number;
  };
  close(): void;
}

/**
 * Opens a page for each user, `atOnce` at a time. If `marksRead` is true, each page marks the newest message that arrived as
 * read, with the read marker of the client's hooks: one request at a time, and at most one a second.
 */
export async function openPages(
  client: PageClient,
  url: string,
  users: readonly number[],
  options: PageOptions & {
    atOnce: number;
    marksRead: boolean;
    onOpened?: () => void;
    /** Called for each request or subscription that failed and is repeated. */
    onRetry: () => void;
  },
): Promise<Pages> {
  const messages = new Map<number, Arrivals>();
  const markers: ReadMarker[] = [];
  let closed = false;
  let run = 0;
  let count = { complete: 0, lastAt: 0, times: [] as number[][], events: 0, marks: 0, images: 0 };
  let wanted: { count: number; done: (reached: boolean) => void } | null = null;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => undefined);
  const onFailed = (error: Error) => {
    if (!closed) fail(error);
  };

  function receive(place: number, stream: PageStream, number: number, text: string): void {
    let message = messages.get(number);
    if (!message)
      messages.set(number, (message = { run: -1, index: -1, arrived: new Uint8Array(users.length), times: [] }));
    if (stream === 'room' && message.run < 0) {
      const [, ofRun, index] = /~(\d+)~(\d+)~/.exec(text) ?? [];
      [message.run, message.index] = [Number(ofRun), Number(index)];
      if (message.run === run) count.times[message.index] = message.times;
    }
    const before = message.arrived[place] ?? 0;
    if ((before & BITS[stream]) !== 0) onFailed(new Error(`A page received message ${number} twice: ${text}`));
    message.arrived[place] = before | BITS[stream];
    if (message.arrived[place] !== BOTH) return;
    message.times.push(performance.now());
    if (message.run !== run || message.times.length < users.length) return;
    count.complete += 1;
    count.lastAt = performance.now();
    if (wanted && count.complete >= wanted.count) wanted.done(true);
  }

  async function openPage(user: number, place: number): Promise<Page> {
    const marker = createReadMarker((messageId) => {
      count.marks += 1;
      return page.markRead(messageId).catch((error: unknown) => {
        if (!closed) options.onRetry();
        // The marker repeats the request after a pause.
        throw error;
      });
    });
    markers.push(marker);
    const page = await client.open(url, user, options, {
      onFailed,
      onRetry: options.onRetry,
      onEvent: () => (count.events += 1),
      onImage: () => (count.images += 1),
      onMessage(stream, { id, number }, text) {
        receive(place, stream, number, text);
        if (options.marksRead && stream === 'room') marker.mark({ id, number, cursor: '' });
      },
    });
    options.onOpened?.();
    return page;
  }

  function begin(): number {
    run += 1;
    count = { complete: 0, lastAt: 0, times: [], events: 0, marks: 0, images: 0 };
    return run;
  }

  async function complete(most: number, deadline: number): Promise<boolean> {
    if (count.complete >= most) return Promise.race([failed, Promise.resolve(true)]);
    let timer: NodeJS.Timeout | undefined;
    const reached = new Promise<boolean>((resolve) => {
      wanted = { count: most, done: resolve };
      timer = setTimeout(resolve, Math.max(0, deadline - performance.now()), false);
    });
    return Promise.race([reached, failed]).finally(() => {
      clearTimeout(timer);
      wanted = null;
    });
  }

  async function warmUp(senders: readonly Sender[], runInMs: number): Promise<void> {
    const giveUp = performance.now() + WARM_UP_MS;
    // Servers do not acknowledge subscriptions. All are active once every page has received a message.
    do {
      if (performance.now() > giveUp) throw new Error('After a minute not every page received a message.');
      await senders[0]?.send(options.room, bodyOf(begin(), 0));
    } while (!(await complete(1, performance.now() + 2_000)));
    const until = performance.now() + runInMs;
    let sent = 0;
    const own = begin();
    // Waits for each burst, because a slow stack would otherwise deliver messages of the warm-up during the measurement.
    do {
      await Promise.all(senders.map((sender) => sender.send(options.room, bodyOf(own, sent++))));
      if (!(await complete(sent, performance.now() + WARM_UP_MS)))
        throw new Error('The messages of the warm-up did not arrive within a minute.');
    } while (performance.now() < until);
  }

  const pages = await Promise.race([eachOf(users, options.atOnce, openPage), failed]);
  return {
    size: users.length,
    ...{ warmUp, begin, complete },
    results: () => count,
    close() {
      closed = true;
      for (const marker of markers) marker.stop();
      for (const page of pages) page.close();
    },
  };
}
