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

/** Socket of a subscription. Contains only what the frame writer needs. */
interface Connected {
  socket: WebSocket;
  /** The TCP connection of the socket. */
  connection: Socket;
  writer: SocketWriter;
  /** Number of subscriptions of the socket. */
  subscriptions: number;
}

/** Callbacks of the frame writers of a server. */
export interface FrameWriting {
  /** Gauge of the subscriptions that wait for their socket to drain. */
  gauges: { backpressured: number };
  /** Called for each result that is written. */
  onWritten?: ((result: object) => void) | undefined;
  /** Returns the JSON of a result as a string with one character per byte; see {@link toBytes}. */
  serialize: (result: object) => string;
}

/**
 * Writes the results of a subscription to its socket, with the same frames that graphql-ws would send.
 *
 * Unlike graphql-ws, this class serializes each result once for all subscribers. Results that are available together
 * are written in one chunk, without `await` while the socket accepts data. While the socket is full, no results are
 * pulled. A subscriber that does not read therefore costs a position and not a queue.
 *
 * The frames are built here, because `ws` creates a new buffer for each text. This class and `ws` may both write to
 * one connection, because each writes only complete frames.
 *
 * graphql-ws ends a subscription by calling `return`, so a frame writer is an async iterator. It yields nothing.
 */
export class FrameWriter implements AsyncIterableIterator<never> {
  readonly #results: Source<object>;
  readonly #to: Connected;
  readonly #writing: FrameWriting;
  /** Begin of each message, up to the result. */
  readonly #head: string;
  readonly #onEnd: (error: Error | null) => void;
  #state: 'open' | 'ended' = 'open';
  /** True while `#writeAvailable` is running or scheduled. The `onReady` listener then does not call it. */
  #isWriting = true;

  /**
   * @param id id of the subscription within the socket
   * @param onEnd called once when the results have ended: with an error if they have failed. Also called after `return`.
   */
  constructor(
    results: Source<object>,
    to: Connected,
    id: string,
    writing: FrameWriting,
    onEnd: (error: Error | null) => void,
  ) {
    [this.#results, this.#to, this.#writing, this.#onEnd] = [results, to, writing, onEnd];
    this.#head = toBytes(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
  }

  /** Starts to write. */
  start(): void {
    this.#results.onReady(() => {
      if (!this.#isWriting) this.#writeAvailable();
    });
    this.#writeAvailable();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<typeof done> {
    return Promise.resolve(done);
  }

  /** Ends the subscription. */
  return(): Promise<typeof done> {
    this.#end(null);
    return Promise.resolve(done);
  }

  #end(error: Error | null): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#results.end();
    this.#onEnd(error);
  }

  /**
   * Writes all available results with one call.
   *
   * @param first result that was pulled before the call
   */
  #writeAvailable(first?: Next<object>): void {
    this.#isWriting = true;
    const [results, { socket, connection }] = [this.#results, this.#to];
    let frames = '';
    // If the socket is full, none of its subscriptions serializes another result.
    if (this.#to.writer.isFull()) {
      this.#waitForDrain(first);
      return;
    }
    try {
      for (let pulled: MaybePromise<Next<object>> = first ?? results.pull(); ; pulled = results.pull()) {
        if (pulled instanceof Promise) {
          this.#write(frames);
          pulled.then(
            (next) => {
              this.#writeAvailable(next);
            },
            (error: unknown) => {
              this.#end(error as Error);
            },
          );
          return;
        }
        if (pulled === null) break;
        if (pulled.done || this.#state === 'ended' || socket.readyState !== socket.OPEN) {
          this.#write(frames);
          this.#end(null);
          return;
        }
        frames += this.#frameOf(pulled.value);
        if (connection.writableLength + frames.length >= MAX_CHUNK_BYTES) {
          this.#write(frames);
          this.#waitForDrain();
          return;
        }
        if (results.hasMore?.() === false) break;
      }
      this.#write(frames);
      this.#isWriting = false;
    } catch (error) {
      this.#write(frames);
      this.#end(error as Error);
    }
  }

  #frameOf(result: object): string {
    const [head, body] = [this.#head, this.#writing.serialize(result)];
    this.#writing.onWritten?.(result);
    return `${frameHead(head.length + body.length + 1)}${head}${body}}`;
  }

  #write(frames: string): void {
    if (frames !== '') this.#to.writer.write(frames, this.#to.subscriptions > 1);
  }

  #waitForDrain(first?: Next<object>): void {
    const { gauges } = this.#writing;
    gauges.backpressured += 1;
    this.#to.writer.whenWritable(() => {
      gauges.backpressured -= 1;
      this.#writeAvailable(first);
    });
  }
}
