import type { Socket } from 'node:net';

/** Bytes that may wait in a connection. Nothing more is written to it until it has drained. */
const MAX_WAITING = 64 * 1024;

/** The writing side of one connection. */
export interface Outlet {
  /** Whether so much waits that nothing more should be written. */
  isFull(): boolean;
  /**
   * Calls a function when the connection can take more, or has closed. Functions are called in order, one in each turn of
   * the event loop, so that each sees what those before it have written.
   */
  whenWritable(write: () => void): void;
}

/** Watches how fast a connection is read by its peer. */
export function createOutlet(connection: Socket): Outlet {
  const writers: (() => void)[] = [];
  let running = false;

  const isFull = () => connection.writableLength >= MAX_WAITING && !connection.destroyed;

  function run(): void {
    const write = isFull() ? undefined : writers.shift();
    running = write !== undefined;
    if (!write) return;
    write();
    // An answer is written some microtasks after its turn.
    setImmediate(run);
  }
  function start(): void {
    if (!running) run();
  }
  // It is emitted after each time that the connection was full: its high-water mark is not above MAX_WAITING.
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
