import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { SocketWriter } from './socketWriter.ts';
import { done, type MaybePromise, type Next, type Source } from '../delivery/source.ts';

/**
 * Number of buffered bytes at which the subscription writes its frames, and then waits until the connection has
 * drained.
 */
const MAX_CHUNK_BYTES = 64 * 1024;

/**
 * Returns the UTF-8 bytes of a text as a latin1 string, one character per byte. Node writes such a string without
 * another copy.
 */
export function toBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** Returns the header of an unmasked text frame: FIN, opcode and payload length in bytes (RFC 6455, section 5.2). */
function frameHead(length: number): string {
  if (length < 126) return String.fromCharCode(0x81, length);
  if (length < 65_536) return String.fromCharCode(0x81, 126, length >>> 8, length & 0xff);
  const head = Buffer.from([0x81, 127, 0, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(length, 6);
  return head.toString('latin1');
}

/**
 * Writes the results of a subscription to its socket, with the same frames that graphql-ws would send.
 *
 * Unlike graphql-ws, this function serializes each result once for all subscribers. Results that are available together
 * are written in one chunk, without `await` while the socket accepts data. While the socket is full, no results are
 * pulled. A subscriber that does not read therefore costs a position and not a queue.
 *
 * The frames are built here, because `ws` creates a new buffer for each text. This function and `ws` may both write to
 * one connection, because each writes only complete frames.
 *
 * @returns an iterator for graphql-ws that yields nothing and ends with the subscription
 */
export function writeResults(
  results: Source<object>,
  to: {
    socket: WebSocket;
    /** The TCP connection of the socket. */
    connection: Socket;
    writer: SocketWriter;
    /** Id of the subscription within the socket. */
    id: string;
  },
  options: {
    /** Gauge of the subscriptions that wait for their socket to drain. */
    gauges: { backpressured: number };
    /** Called for each result that is written. */
    onWritten?: ((result: object) => void) | undefined;
    /** Returns the JSON of a result as a string with one character per byte; see {@link toBytes}. */
    serialize: (result: object) => string;
    /** Called when the stream starts, with a promise that settles when the server ends the stream. */
    onStart: (ended: Promise<unknown>) => void;
    /** Called when the subscription has ended. May be called twice. */
    onEnd: () => void;
  },
): AsyncIterableIterator<never> {
  const { socket, connection, writer, id } = to;
  const { gauges, onWritten, serialize } = options;
  const head = toBytes(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
  let isCancelled = false;
  /**
   * True while `writeAvailable` is running or scheduled. The `onReady` listener then does not call it. Initially true,
   * because the first call comes from `next` of the iterator.
   */
  let isWriting = true;
  let finish: (result: typeof done) => void;
  let fail: (error: Error) => void;
  const ended = new Promise<typeof done>((resolve, reject) => {
    finish = resolve;
    fail = (error) => {
      results.end();
      reject(error);
    };
  });
  ended.then(options.onEnd, options.onEnd);

  /**
   * Writes all available results with one call.
   *
   * @param first result that was pulled before the call
   */
  function writeAvailable(first?: Next<object>): void {
    isWriting = true;
    let frames = '';
    // If the socket is full, none of its subscriptions serializes another result.
    if (writer.isFull()) {
      waitForDrain(first);
      return;
    }
    try {
      for (let pulled: MaybePromise<Next<object>> = first ?? results.pull(); ; pulled = results.pull()) {
        if (pulled instanceof Promise) {
          write(frames);
          pulled.then(writeAvailable, fail);
          return;
        }
        if (pulled === null) break;
        if (pulled.done || isCancelled || socket.readyState !== socket.OPEN) {
          write(frames);
          results.end();
          finish(done);
          return;
        }
        frames += frameOf(pulled.value);
        if (connection.writableLength + frames.length >= MAX_CHUNK_BYTES) {
          write(frames);
          waitForDrain();
          return;
        }
        if (results.hasMore?.() === false) break;
      }
      write(frames);
      isWriting = false;
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
    if (frames !== '') writer.write(frames);
  }

  function waitForDrain(first?: Next<object>): void {
    gauges.backpressured += 1;
    writer.whenWritable(() => {
      gauges.backpressured -= 1;
      writeAvailable(first);
    });
  }

  results.onReady(() => {
    if (!isWriting) writeAvailable();
  });
  const iterator: AsyncIterableIterator<never> = {
    [Symbol.asyncIterator]: () => iterator,
    next() {
      options.onStart(ended);
      writeAvailable();
      return ended;
    },
    return() {
      isCancelled = true;
      results.end();
      options.onEnd();
      return Promise.resolve(done);
    },
  };
  return iterator;
}
