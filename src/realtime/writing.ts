import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { done, type MaybePromise, type Pulled, type Source } from './pull.ts';

/** From here on, in bytes, a socket has to be drained before it gets more. */
const MOST_BUFFERED = 64 * 1024;

/** Holds back what is written to a connection, until all of the moment has been. */
export type HoldBack = (connection: Socket) => void;

/**
 * A call into the system is the dearest part of a delivery: what comes for a connection in one turn of the event loop goes
 * out with one. And one after the other: a receiver that is not let sleep in between costs a fraction.
 */
export function createHoldBack(): HoldBack {
  const held = new Set<Socket>();
  function flush(): void {
    const connections = [...held];
    held.clear();
    for (const connection of connections) connection.uncork();
  }
  return (connection) => {
    if (held.has(connection)) return;
    if (held.size === 0) setImmediate(flush);
    held.add(connection);
    connection.cork();
  };
}

/**
 * Writes a subscription's results to its socket as the library would, but each text is made once for all subscribers, what
 * comes at the same time goes out in one piece, and nothing is waited for while the socket takes what it is given. What it
 * does not take is not pulled: a subscriber that does not read has a position, and no queue.
 */
export function writeStraight(
  results: Source<object>,
  to: {
    socket: WebSocket;
    /** What the socket writes to. */
    connection: Socket;
    /** The subscription's, among those of the socket. */
    id: string;
  },
  options: {
    /** Counts the subscriptions that wait for their socket to be drained. */
    open: { waiting: number };
    /** Told of each result that is written. */
    onWritten?: ((result: object) => void) | undefined;
    /** The text of a result. */
    serialize: (result: object) => string;
    hold: HoldBack;
  },
): AsyncIterableIterator<never> {
  const { socket, connection, id } = to;
  const { open, onWritten, serialize, hold } = options;
  const head = `{"id":${JSON.stringify(id)},"type":"next","payload":`;
  let over = false;
  /** Something is written, or waited for; when that is through, it is asked for more in any case. So it is to begin with. */
  let busy = true;
  let finish: (how: typeof done) => void;
  let fail: (error: Error) => void;
  const ended = new Promise<typeof done>((resolve, reject) => {
    finish = resolve;
    fail = (error) => {
      results.end();
      reject(error);
    };
  });

  function goOn(first?: Pulled<object>): void {
    busy = true;
    try {
      for (let pulled: MaybePromise<Pulled<object>> = first ?? results.pull(); ; pulled = results.pull()) {
        if (pulled instanceof Promise) {
          pulled.then(goOn, fail);
          return;
        }
        if (pulled === null) break;
        if (pulled.done || over || socket.readyState !== socket.OPEN) {
          results.end();
          finish(done);
          return;
        }
        if (!write(pulled.value)) return;
      }
      busy = false;
    } catch (error) {
      fail(error as Error);
    }
  }

  function write(result: object): boolean {
    const frame = `${head}${serialize(result)}}`;
    onWritten?.(result);
    hold(connection);
    if (socket.bufferedAmount < MOST_BUFFERED) {
      socket.send(frame);
      return true;
    }
    open.waiting += 1;
    socket.send(frame, () => {
      open.waiting -= 1;
      goOn();
    });
    return false;
  }

  results.onReady(() => {
    if (!busy) goOn();
  });
  const iterator: AsyncIterableIterator<never> = {
    [Symbol.asyncIterator]: () => iterator,
    next() {
      goOn();
      return ended;
    },
    return() {
      over = true;
      results.end();
      return Promise.resolve(done);
    },
  };
  return iterator;
}
