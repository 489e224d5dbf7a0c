import type { Client, Sender } from '../clients/client.ts';
import type { LeanSocket, OnText } from '../clients/socket.ts';
import { eachOf, type Params, upTo } from './benchmark.ts';

/** Returns a message body of usual length that contains its run and index. */
export function bodyOf(run: number, index: number): string {
  return `~${run}~${index}~ Shall we meet at the station at six, or is that too early for you?`;
}

/** Subscribers of a room. A duplicate message or a closed socket fails the run. */
export interface Audience {
  size: number;
  /** Sends messages until every subscriber has received one, and none is in flight. */
  warmUp(sender: Sender, room: number): Promise<void>;
  /** Starts a new run, whose messages are counted from 0. Returns its number. */
  begin(onHeard?: (index: number) => void): number;
  /** Returns the number of deliveries of this run, over all subscribers. */
  heard(): number;
  /** Resolves to true after `count` deliveries, or to false at the deadline (in time of `performance.now`). */
  hears(count: number, deadline: number): Promise<boolean>;
  close(): void;
}

/**
 * Warms up a server that has just started, whose code is compiled while it is used. Each sender sends one message after
 * another for `runInMs`, and all messages must arrive.
 */
export async function warmUpWithSubscribers(
  audience: Audience,
  senders: readonly Sender[],
  room: number,
  params: Params,
): Promise<void> {
  const run = audience.begin();
  const until = performance.now() + (params['runInMs'] ?? 0);
  let sent = 0;
  await Promise.all(
    senders.map(async (sender) => {
      while (performance.now() < until) await sender.send(room, bodyOf(run, sent++));
    }),
  );
  if (!(await audience.hears(sent * audience.size, performance.now() + WARM_UP_MS)))
    throw new Error('The messages of the warm-up did not arrive within a minute.');
}

/** Number of concurrent senders during the warm-up. */
const RUNNING_IN = 20;

/**
 * Warms up a server before anyone subscribes. The code of sends is compiled during sends, for which a thousand subscribers
 * would leave no time.
 */
export async function warmUpWithoutSubscribers(
  client: Client,
  url: string,
  room: number,
  { unheardMs = 0 }: Params,
): Promise<void> {
  const senders = await Promise.all(upTo(RUNNING_IN).map((user) => client.openSender(url, user)));
  const until = performance.now() + unheardMs;
  let sent = 0;
  await Promise.all(
    senders.map(async (sender) => {
      while (performance.now() < until) await sender.send(room, bodyOf(0, sent++));
      sender.close();
    }),
  );
}

const MARK = 0x7e;
/** Maximum size of the delivery records, one byte per message and subscriber. Suffices for every run. */
const MAX_BYTES = 400_000_000;
const WARM_UP_MS = 60_000;

/**
 * Opens the subscribers, `atOnce` at a time.
 *
 * @param options.onHeard If given, run 1 starts before the subscribers connect, so that missed messages are counted.
 */
export async function openAudience(
  users: readonly number[],
  listen: (user: number, onText: OnText) => Promise<LeanSocket>,
  options: { atOnce?: number; onHeard?: (index: number) => void } = {},
): Promise<Audience> {
  const capacity = Math.floor(MAX_BYTES / Math.max(users.length, 1_000));
  const seen = users.map(() => new Uint8Array(0));
  const probed = new Int32Array(users.length);
  const ready = { probe: 0, count: 0 };
  let run = 0;
  let count = 0;
  let onHeard: ((index: number) => void) | undefined;
  let wanted: { count: number; done: () => void } | null = null;
  let failure: Error | null = null;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = (error) => {
      failure ??= error;
      reject(failure);
    };
  });
  failed.catch(() => undefined);

  function hear(listener: number, bytes: Buffer, start: number, end: number): void {
    let at = bytes.indexOf(MARK, start);
    if (at < 0 || at >= end) {
      const text = bytes.toString('utf8', start, Math.min(end, start + 400));
      if (/"errors?"|refused|<error|type=.error/.test(text)) fail(new Error(`A subscriber received an error: ${text}`));
      return;
    }
    let of = 0;
    for (at += 1; bytes[at] !== MARK; at += 1) of = of * 10 + (bytes[at] ?? 0) - 48;
    let index = 0;
    for (at += 1; bytes[at] !== MARK; at += 1) index = index * 10 + (bytes[at] ?? 0) - 48;
    if (of === 0) {
      if (index === ready.probe && probed[listener] !== index) ready.count += 1;
      probed[listener] = index;
    } else if (of === run) {
      const own = seen[listener];
      if (!own || index >= own.length) fail(new Error(`There were more than ${capacity} messages.`));
      else if (own[index] === 1) fail(new Error(`Message ${index} arrived twice.`));
      else own[index] = 1;
      count += 1;
      onHeard?.(index);
    }
    if (wanted && (of === 0 ? ready.count : count) >= wanted.count) wanted.done();
  }

  function until(most: number, deadline: number): Promise<boolean> {
    if (failure) return Promise.reject(failure);
    const wait = new Promise<boolean>((resolve) => {
      const timer = setTimeout(
        () => {
          wanted = null;
          resolve(false);
        },
        Math.max(deadline - performance.now(), 0),
      );
      wanted = {
        count: most,
        done() {
          wanted = null;
          clearTimeout(timer);
          resolve(true);
        },
      };
    });
    return Promise.race([wait, failed]);
  }

  function begin(listener?: (index: number) => void): number {
    run += 1;
    count = 0;
    onHeard = listener;
    for (const i of seen.keys()) seen[i] = new Uint8Array(Math.min(capacity, 65_536));
    return run;
  }

  if (options.onHeard) begin(options.onHeard);
  const sockets = await eachOf(users, options.atOnce ?? 50, async (user, listener) => {
    const socket = await listen(user, (bytes, start, end) => {
      hear(listener, bytes, start, end);
    });
    void socket.closed.then((why) => {
      fail(new Error(`A subscriber lost its connection: ${why}`));
    });
    return socket;
  });

  return {
    size: users.length,
    async warmUp(sender, room) {
      const giveUp = performance.now() + WARM_UP_MS;
      // Servers do not acknowledge subscriptions. All are active once every subscriber has received a message.
      while (performance.now() < giveUp) {
        ready.probe += 1;
        ready.count = 0;
        await sender.send(room, bodyOf(0, ready.probe));
        for (let last = -1; ready.count < users.length && last < ready.count;) {
          last = ready.count;
          await until(users.length, performance.now() + 1_000);
        }
        if (ready.count === users.length) return;
      }
      throw new Error(`After a minute only ${ready.count} of ${users.length} subscribers received a message.`);
    },
    begin,
    heard: () => count,
    hears: (most, deadline) => (count >= most && !failure ? Promise.resolve(true) : until(most, deadline)),
    close() {
      for (const socket of sockets) socket.close();
    },
  };
}
