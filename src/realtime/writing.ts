import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Outlet } from './outlet.ts';
import { done, type MaybePromise, type Pulled, type Source } from './pull.ts';

/** Bytes of events that are written in one piece. */
const MAX_PIECE = 64 * 1024;

/** A text's bytes in UTF-8 as a string of as many characters: what Node hands to the system without another copy. */
export function toBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** What a server puts before a text of so many bytes: FIN and TEXT, and its length, unmasked (RFC 6455, section 5.2). */
function frameHead(length: number): string {
  if (length < 126) return String.fromCharCode(0x81, length);
  if (length < 65_536) return String.fromCharCode(0x81, 126, length >>> 8, length & 0xff);
  const head = Buffer.from([0x81, 127, 0, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(length, 6);
  return head.toString('latin1');
}

/**
 * Writes a subscription's results to its socket as the library would, but each text is made once for all subscribers, what
 * comes at the same time goes out in one piece, and nothing is waited for while the socket takes what it is given. What it
 * does not take is not pulled: a subscriber that does not read has a position, and no queue.
 *
 * The frames are made here, since `ws` makes a buffer of each text anew; nothing that it writes is ever half written.
 */
export function writeStraight(
  results: Source<object>,
  to: {
    socket: WebSocket;
    /** What the socket writes to. */
    connection: Socket;
    outlet: Outlet;
    /** The subscription's, among those of the socket. */
    id: string;
  },
  options: {
    /** Counts the subscriptions that wait for their socket to be drained. */
    open: { waiting: number };
    /** Told of each result that is written. */
    onWritten?: ((result: object) => void) | undefined;
    /** The bytes of a result. */
    serialize: (result: object) => string;
    /** Called when the stream is opened, with a promise that settles if it ends by itself. */
    onStart: (ended: Promise<unknown>) => void;
    /** Called when the subscription has ended, perhaps twice. */
    onEnd: () => void;
  },
): AsyncIterableIterator<never> {
  const { socket, connection, outlet, id } = to;
  const { open, onWritten, serialize } = options;
  const head = toBytes(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
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
  ended.then(options.onEnd, options.onEnd);

  /** Writes what comes next; a call into the system is the dearest part of it, and so all that is there goes out with one. */
  function goOn(first?: Pulled<object>): void {
    busy = true;
    let frames = '';
    // Of the many subscriptions of a socket that is not read, none makes another text.
    if (outlet.isFull()) {
      waitForRoom(first);
      return;
    }
    try {
      for (let pulled: MaybePromise<Pulled<object>> = first ?? results.pull(); ; pulled = results.pull()) {
        if (pulled instanceof Promise) {
          write(frames);
          pulled.then(goOn, fail);
          return;
        }
        if (pulled === null) break;
        if (pulled.done || over || socket.readyState !== socket.OPEN) {
          write(frames);
          results.end();
          finish(done);
          return;
        }
        frames += frameOf(pulled.value);
        if (connection.writableLength + frames.length >= MAX_PIECE) {
          write(frames);
          waitForRoom();
          return;
        }
        if (results.hasMore?.() === false) break;
      }
      write(frames);
      busy = false;
    } catch (error) {
      write(frames);
      fail(error as Error);
    }
  }

  function frameOf(result: object): string {
    const body = serialize(result);
    onWritten?.(result);
    return `${frameHead(head.length + body.length + 1)}${head}${body}}`;
  }

  function write(frames: string): void {
    if (frames !== '') connection.write(frames, 'latin1');
  }

  function waitForRoom(first?: Pulled<object>): void {
    open.waiting += 1;
    outlet.whenWritable(() => {
      open.waiting -= 1;
      goOn(first);
    });
  }

  results.onReady(() => {
    if (!busy) goOn();
  });
  const iterator: AsyncIterableIterator<never> = {
    [Symbol.asyncIterator]: () => iterator,
    next() {
      options.onStart(ended);
      goOn();
      return ended;
    },
    return() {
      over = true;
      results.end();
      options.onEnd();
      return Promise.resolve(done);
    },
  };
  return iterator;
}
