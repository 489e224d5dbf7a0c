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

/** Handles the messages of a socket, and charges its client. */
interface SocketReading {
  /** Handles one message; resolves when its result is written. */
  handle: (text: string) => Promise<void>;
  /** Number of bytes that cost a client one rate limit point. */
  bytesPerPoint: number;
  /** Charges points for messages; rejects if the client has no points left. */
  charge: (points: number) => Promise<void>;
  /** Closes the socket of a client that has no points left, or whose message failed. */
  refuse: (error: unknown) => void;
}

/**
 * Reads the messages of a socket with backpressure. While the client does not read its results, the server does not
 * read from the client. TCP flow control then leaves further messages in the client's memory.
 *
 * A class, because closures would take 1 KB for each of the thousands of idle sockets of a node.
 */
export class SocketReader {
  readonly #socket: WebSocket;
  readonly #connection: Socket;
  readonly #writer: SocketWriter;
  readonly #options: SocketReading;
  /**
   * Received messages that are not handled yet. One chunk of up to 64 KB may contain many messages. Reading pauses
   * until the queue is empty. Null while there are none.
   */
  #queue: Buffer[] | null = null;
  #inProgress = 0;
  #unpaid = 0;
  /**
   * Number of messages that arrived after the server began to close the socket. Above `MAX_IN_PROGRESS`, the connection
   * is terminated, because such a client will not send a close frame.
   */
  #late = 0;
  #charging = false;
  #waitsForDrain = false;
  #waitsForTurn = false;

  constructor(
    { socket, connection, writer }: { socket: WebSocket; connection: Socket; writer: SocketWriter },
    options: SocketReading,
  ) {
    [this.#socket, this.#connection, this.#writer, this.#options] = [socket, connection, writer, options];
    socket.on('message', (data, isBinary) => {
      this.#receive(data as Buffer, isBinary);
    });
    const receiveControlFrame = () => {
      this.#receiveControlFrame();
    };
    socket.on('ping', receiveControlFrame);
    socket.on('pong', receiveControlFrame);
  }

  /**
   * Excludes the message of a subscription from the messages in progress, because its handling does not end. Open
   * subscriptions would otherwise use up `MAX_IN_PROGRESS`.
   */
  exclude(): void {
    this.#inProgress -= 1;
    this.#run();
  }

  /**
   * Makes a message free whose mutation has been charged. A mutation therefore costs as much as over HTTP, and no socket
   * closes because its user sends many messages.
   */
  credit(): void {
    this.#unpaid -= 1;
  }

  #isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  #isBusy(): boolean {
    return (
      this.#charging ||
      this.#waitsForDrain ||
      this.#inProgress >= MAX_IN_PROGRESS ||
      this.#connection.writableLength > MAX_BUFFERED_BYTES
    );
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (!this.#isOpen()) {
      this.#late += 1;
      if (this.#late > MAX_IN_PROGRESS) this.#socket.terminate();
      return;
    }
    // `ws` checks text messages only. Without this check, invalid bytes of a binary message would be stored as U+FFFD.
    if (isBinary && !isUtf8(data)) {
      this.#socket.close(NOT_UTF8, 'Send messages in UTF-8.');
      return;
    }
    this.#queue ??= [];
    this.#queue.push(data);
    this.#unpaid += 1 + MESSAGES_PER_POINT * Math.floor(data.length / this.#options.bytesPerPoint);
    this.#charge();
    this.#run();
  }

  #receiveControlFrame(): void {
    this.#unpaid += 1;
    this.#charge();
    this.#pauseOrResume();
  }

  #run(): void {
    const data = this.#isOpen() && !this.#isBusy() && !this.#waitsForTurn ? this.#queue?.shift() : undefined;
    if (data) this.#handleNext(data);
    if (!this.#isOpen() || this.#queue?.length === 0) this.#queue = null;
    this.#pauseOrResume();
  }

  /** Handles one message per turn of the event loop, because a chunk may contain 60 documents that take 20 ms each. */
  #handleNext(data: Buffer): void {
    this.#inProgress += 1;
    this.#options
      .handle(data.toString())
      .catch(this.#options.refuse)
      .finally(() => {
        this.#inProgress -= 1;
        this.#run();
      });
    this.#waitsForTurn = true;
    setImmediate(() => {
      this.#waitsForTurn = false;
      this.#run();
    });
  }

  #pauseOrResume(): void {
    // A closing socket is still read, so that the close frame of the client arrives. Other messages are dropped.
    const paused = this.#isOpen() && (this.#isBusy() || this.#queue !== null);
    if (paused && this.#connection.writableLength > MAX_BUFFERED_BYTES) this.#waitForDrain();
    if (paused === this.#socket.isPaused) return;
    if (paused) this.#socket.pause();
    else this.#socket.resume();
  }

  #waitForDrain(): void {
    if (this.#waitsForDrain) return;
    this.#waitsForDrain = true;
    this.#writer.whenWritable(() => {
      this.#waitsForDrain = false;
      this.#run();
    });
  }

  /** Charges for all unpaid messages with one call, because a chunk of 64 KB may contain thousands of messages. */
  #charge(): void {
    const points = Math.floor(this.#unpaid / MESSAGES_PER_POINT);
    if (points === 0 || this.#charging || !this.#isOpen()) return;
    this.#unpaid -= points * MESSAGES_PER_POINT;
    this.#charging = true;
    this.#options
      .charge(points)
      .catch(this.#options.refuse)
      .finally(() => {
        this.#charging = false;
        this.#charge();
        this.#run();
      });
  }
}
