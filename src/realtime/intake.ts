import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Outlet } from './outlet.ts';

/** Bytes that may wait for a client. Above, nothing more is read from it until it has read. */
const MAX_UNREAD = 1024 * 1024;
/** Messages of one socket that may be in progress. A message is in progress until its answer is written. */
const MAX_IN_PROGRESS = 100;
/** Messages and control frames that one point pays for: an honest client sends some in a minute. */
const MESSAGES_PER_POINT = 20;

/** Close code for a message whose bytes do not fit its type (RFC 6455). */
const NOT_UTF8 = 1007;

/** The reading side of one socket. */
export interface Intake {
  /** Excludes a message from those in progress while its stream is open; the message completes after it. */
  exclude(stream: Promise<unknown>): void;
}

/**
 * Reads the messages of a socket as fast as their answers are read. A client that does not read its answers is not read
 * either; its messages wait in its own memory, by TCP's flow control.
 *
 * @param options.take handles one message; resolves when its answer is written
 * @param options.bytesPerPoint bytes that cost a client one point
 * @param options.charge charges the client for its messages; rejects if the client has none left
 * @param options.refuse closes the socket of a client that has no points left, or whose message failed
 */
export function createIntake(
  { socket, connection, outlet }: { socket: WebSocket; connection: Socket; outlet: Outlet },
  options: {
    take: (text: string) => Promise<void>;
    bytesPerPoint: number;
    charge: (points: number) => Promise<void>;
    refuse: (error: unknown) => void;
  },
): Intake {
  /** Messages that came with one chunk of 64 KB, after the first of them. Nothing is read until they are taken. */
  const queue: Buffer[] = [];
  let inProgress = 0;
  let unpaid = 0;
  /** Messages that came after the socket was closed. A client that goes on sending does not mean to say goodbye. */
  let late = 0;
  let charging = false;
  let waitsForDrain = false;
  let waitsForTurn = false;

  const isOpen = () => socket.readyState === socket.OPEN;
  const isBusy = () =>
    charging || waitsForDrain || inProgress >= MAX_IN_PROGRESS || connection.writableLength > MAX_UNREAD;

  function run(): void {
    const data = isOpen() && !isBusy() && !waitsForTurn ? queue.shift() : undefined;
    if (data) takeNext(data);
    if (!isOpen()) queue.length = 0;
    pauseOrResume();
  }

  /** Takes one message in each turn of the event loop. A chunk has room for 60 documents that take 20 ms each. */
  function takeNext(data: Buffer): void {
    inProgress += 1;
    options
      .take(data.toString())
      .catch(options.refuse)
      .finally(() => {
        inProgress -= 1;
        run();
      });
    waitsForTurn = true;
    setImmediate(() => {
      waitsForTurn = false;
      run();
    });
  }

  function pauseOrResume(): void {
    // A socket that is closing is read, so that its peer's goodbye is seen. What else it says is dropped.
    const paused = isOpen() && (isBusy() || queue.length > 0);
    if (paused && connection.writableLength > MAX_UNREAD) waitForDrain();
    if (paused === socket.isPaused) return;
    if (paused) socket.pause();
    else socket.resume();
  }

  function waitForDrain(): void {
    if (waitsForDrain) return;
    waitsForDrain = true;
    outlet.whenWritable(() => {
      waitsForDrain = false;
      run();
    });
  }

  /** Charges for what has arrived so far. A chunk of 64 KB arrives at once, with thousands of messages. */
  function charge(): void {
    const points = Math.floor(unpaid / MESSAGES_PER_POINT);
    if (points === 0 || charging || !isOpen()) return;
    unpaid -= points * MESSAGES_PER_POINT;
    charging = true;
    options
      .charge(points)
      .catch(options.refuse)
      .finally(() => {
        charging = false;
        charge();
        run();
      });
  }

  socket.on('message', (data, isBinary) => {
    if (!isOpen()) {
      late += 1;
      if (late > MAX_IN_PROGRESS) socket.terminate();
      return;
    }
    // ws checks text messages itself. Other bytes would be stored as U+FFFD.
    if (isBinary && !isUtf8(data as Buffer)) {
      socket.close(NOT_UTF8, 'Send messages in UTF-8.');
      return;
    }
    queue.push(data as Buffer);
    unpaid += 1 + MESSAGES_PER_POINT * Math.floor((data as Buffer).length / options.bytesPerPoint);
    charge();
    run();
  });
  for (const frame of ['ping', 'pong'])
    socket.on(frame, () => {
      unpaid += 1;
      charge();
      pauseOrResume();
    });

  return {
    exclude(stream) {
      inProgress -= 1;
      const include = () => (inProgress += 1);
      stream.then(include, include);
      run();
    },
  };
}
