import type { Socket } from 'node:net';

/** Maximum number of bytes buffered in a connection. Above, nothing more is written until it has drained. */
const MAX_BUFFERED_BYTES = 64 * 1024;

/** The writing side of one connection. */
export interface SocketWriter {
  /** Returns whether so many bytes are buffered that nothing more should be written. */
  isFull(): boolean;
  /**
   * Calls a function when the connection accepts more bytes, or has closed. Functions are called in order, one per turn of
   * the event loop, so that each sees the bytes that the earlier ones have written.
   */
  whenWritable(write: () => void): void;
}

/** Creates the writer of a connection. It applies backpressure: writing pauses while the peer does not read. */
export function createSocketWriter(connection: Socket): SocketWriter {
  const writers: (() => void)[] = [];
  let running = false;

  const isFull = () => connection.writableLength >= MAX_BUFFERED_BYTES && !connection.destroyed;

  function run(): void {
    const write = isFull() ? undefined : writers.shift();
    running = write !== undefined;
    if (!write) return;
    write();
    // The result is written some microtasks after `write` was called, so the next one waits for another turn.
    setImmediate(run);
  }
  function start(): void {
    if (!running) run();
  }
  // `drain` follows whenever the connection was full, because its high-water mark is at most MAX_BUFFERED_BYTES.
  connection.on('drain', start);
  connection.once('close', start);

  return {
    isFull,
    whenWritable(write) {
      writers.push(write);
      start();
    },
  };
}
