import type { Socket } from 'node:net';

/** Number of buffered bytes at which a connection is full. Nothing more is written until it has drained. */
const MAX_BUFFERED_BYTES = 64 * 1024;

/**
 * The writing side of one connection. It applies backpressure: writing pauses while the peer does not read.
 *
 * A class, because closures would take 1 KB for each of the thousands of idle sockets of a node.
 */
export class SocketWriter {
  readonly #connection: Socket;
  /** Functions that wait until the connection accepts bytes. Null while there are none. */
  #waiting: (() => void)[] | null = null;
  #running = false;
  #isCorked = false;

  constructor(connection: Socket) {
    this.#connection = connection;
    const start = () => {
      this.#start();
    };
    // A full connection always emits `drain` later, because its high-water mark is at most MAX_BUFFERED_BYTES.
    connection.on('drain', start);
    connection.on('close', start);
  }

  /** Returns whether the connection is full. Nothing should be written then. */
  isFull(): boolean {
    return this.#connection.writableLength >= MAX_BUFFERED_BYTES && !this.#connection.destroyed;
  }

  /**
   * Writes complete frames, one character per byte.
   *
   * @param isShared whether several subscriptions share the socket. All frames that they write in one turn of the event
   *   loop then leave with one system call. A single subscription writes its frames together anyway.
   */
  write(frames: string, isShared: boolean): void {
    if (isShared && !this.#isCorked) {
      this.#isCorked = true;
      this.#connection.cork();
      setImmediate(() => {
        this.#isCorked = false;
        this.#connection.uncork();
      });
    }
    this.#connection.write(frames, 'latin1');
  }

  /**
   * Calls a function when the connection accepts more bytes, or has closed. Functions are called in order, one per turn
   * of the event loop, so that each function sees the bytes that earlier functions have written.
   */
  whenWritable(write: () => void): void {
    this.#waiting ??= [];
    this.#waiting.push(write);
    this.#start();
  }

  #start(): void {
    if (!this.#running) this.#run();
  }

  #run(): void {
    const write = this.isFull() ? undefined : this.#waiting?.shift();
    if (this.#waiting?.length === 0) this.#waiting = null;
    this.#running = write !== undefined;
    if (!write) return;
    write();
    // `write` may write its result only some microtasks later. The next function therefore waits for another turn of
    // the event loop.
    setImmediate(() => {
      this.#run();
    });
  }
}
