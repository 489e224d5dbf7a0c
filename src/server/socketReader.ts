import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { SocketWriter } from './socketWriter.ts';

/**
 * Maximum number of bytes buffered for a client. With more, reading from the client pauses until the connection has
 * drained.
 */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** Maximum number of messages of one socket in progress. A message is in progress until its result is written. */
const MAX_IN_PROGRESS = 100;
/**
 * Number of messages and control frames that together cost one rate limit point. An honest client sends a few per
 * minute, apart from mutations, which are charged otherwise.
 */
const MESSAGES_PER_POINT = 20;

/** Close code for a message whose bytes are invalid for its type (RFC 6455). */
const NOT_UTF8 = 1007;

/** The reading side of one socket. */
export interface SocketReader {
  /**
   * Excludes the message of a subscription from the messages in progress until `stream` settles. graphql-ws handles
   * such a message until its stream has ended, so open subscriptions would otherwise use up `MAX_IN_PROGRESS`.
   */
  exclude(stream: Promise<unknown>): void;
  /**
   * Makes a message free whose mutation has been charged. A mutation therefore costs as much as over HTTP, and no socket
   * closes because its user sends many messages.
   */
  credit(): void;
}

/**
 * Reads the messages of a socket with backpressure. While the client does not read its results, the server does not
 * read from the client. TCP flow control then leaves further messages in the client's memory.
 *
 * @param options.handle handles one message; resolves when its result is written
 * @param options.bytesPerPoint bytes that cost a client one rate limit point
 * @param options.charge charges points for messages; rejects if the client has no points left
 * @param options.refuse closes the socket of a client that has no points left, or whose message failed
 */
export function createSocketReader(
  { socket, connection, writer }: { socket: WebSocket; connection: Socket; writer: SocketWriter },
  options: {
    handle: (text: string) => Promise<void>;
    bytesPerPoint: number;
    charge: (points: number) => Promise<void>;
    refuse: (error: unknown) => void;
  },
): SocketReader {
  /**
   * Received messages that are not handled yet. One chunk of up to 64 KB may contain many messages. Reading pauses
   * until the queue is empty.
   */
  const queue: Buffer[] = [];
  let inProgress = 0;
  let unpaid = 0;
  /**
   * Number of messages that arrived after the server began to close the socket. Above `MAX_IN_PROGRESS`, the connection
   * is terminated, because such a client will not send a close frame.
   */
  let late = 0;
  let charging = false;
  let waitsForDrain = false;
  let waitsForTurn = false;

  const isOpen = () => socket.readyState === socket.OPEN;
  const isBusy = () =>
    charging || waitsForDrain || inProgress >= MAX_IN_PROGRESS || connection.writableLength > MAX_BUFFERED_BYTES;

  function run(): void {
    const data = isOpen() && !isBusy() && !waitsForTurn ? queue.shift() : undefined;
    if (data) handleNext(data);
    if (!isOpen()) queue.length = 0;
    pauseOrResume();
  }

  /** Handles one message per turn of the event loop, because a chunk may contain 60 documents that take 20 ms each. */
  function handleNext(data: Buffer): void {
    inProgress += 1;
    options
      .handle(data.toString())
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
    // A closing socket is still read, so that the close frame of the client arrives. Other messages are dropped.
    const paused = isOpen() && (isBusy() || queue.length > 0);
    if (paused && connection.writableLength > MAX_BUFFERED_BYTES) waitForDrain();
    if (paused === socket.isPaused) return;
    if (paused) socket.pause();
    else socket.resume();
  }

  function waitForDrain(): void {
    if (waitsForDrain) return;
    waitsForDrain = true;
    writer.whenWritable(() => {
      waitsForDrain = false;
      run();
    });
  }

  /** Charges for all unpaid messages with one call, because a chunk of 64 KB may contain thousands of messages. */
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
    // `ws` checks text messages only. Without this check, invalid bytes of a binary message would be stored as U+FFFD.
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
    credit() {
      unpaid -= 1;
    },
  };
}
