import type { Socket } from 'node:net';

/** Number of buffered bytes at which a connection is full. Nothing more is written until it has drained. */
const MAX_BUFFERED_BYTES = 64 * 1024;

/** The writing side of one connection. */
export interface SocketWriter {
  /** Returns whether the connection is full. Nothing should be written then. */
  isFull(): boolean;
  /**
   * Writes complete frames, one character per byte. If several subscriptions share the socket, all frames that they write
   * in one turn of the event loop leave with one system call. A single subscription writes its frames together anyway.
   */
  write(frames: string): void;
  /**
   * Calls a function when the connection accepts more bytes, or has closed. Functions are called in order, one per turn
   * of the event loop, so that each function sees the bytes that earlier functions have written.
   */
  whenWritable(write: () => void): void;
}

/**
 * Creates the writer of a connection. It applies backpressure: writing pauses while the peer does not read.
 *
 * @param isShared returns whether several subscriptions share the socket
 */
export function createSocketWriter(connection: Socket, isShared: () => boolean): SocketWriter {
  const waiting: (() => void)[] = [];
  let running = false;
  let isCorked = false;

  const isFull = () => connection.writableLength >= MAX_BUFFERED_BYTES && !connection.destroyed;

  function run(): void {
    const write = isFull() ? undefined : waiting.shift();
    running = write !== undefined;
    if (!write) return;
    write();
    // `write` may write its result only some microtasks later. The next function therefore waits for another turn of
    // the event loop.
    setImmediate(run);
  }
  function start(): void {
    if (!running) run();
  }
  // A full connection always emits `drain` later, because its high-water mark is at most MAX_BUFFERED_BYTES.
  connection.on('drain', start);
  connection.once('close', start);

  function uncork(): void {
    isCorked = false;
    connection.uncork();
  }

  return {
    isFull,
    write(frames) {
      if (!isCorked && isShared()) {
        isCorked = true;
        connection.cork();
        setImmediate(uncork);
      }
      connection.write(frames, 'latin1');
    },
    whenWritable(write) {
      waiting.push(write);
      start();
    },
  };
}
