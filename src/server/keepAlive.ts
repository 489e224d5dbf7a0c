import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';

/** Time between two checks of a socket, in milliseconds. */
const TICK_MS = 3_000;
/** Minimum time between two pings, in milliseconds. */
const PING_INTERVAL_MS = 12_000;
/**
 * Timeout of a pong, in milliseconds. Extended if the client has not read all bytes written before the ping; see
 * `MIN_RATE`.
 */
const PONG_TIMEOUT_MS = 12_000;
/** Maximum time without write progress while bytes are buffered, in milliseconds. Then the connection is terminated. */
const STALL_TIMEOUT_MS = 30_000;
/**
 * Minimum rate at which a client must read, in bytes per millisecond. A client reads a ping only after all bytes
 * written before it, so the pong timeout is extended by the time to read these bytes. Several megabytes of them may be
 * in operating-system buffers, where the server cannot see whether they were read.
 */
const MIN_RATE = 10;

/**
 * Pings a socket and terminates dead connections. A connection is dead if a ping gets no pong in time, or if no bytes
 * were written for 30 s although some are buffered. A client that reads slowly, but at least at `MIN_RATE`, is not
 * terminated.
 *
 * At most one ping is outstanding. Only a pong with the payload of that ping counts, because a client that does not
 * read can send unsolicited pongs.
 */
export function keepAlive(socket: WebSocket, connection: Socket): void {
  const pulse = new Pulse(socket, connection);
  const timer = setInterval(() => {
    pulse.check();
  }, TICK_MS);
  socket.on('pong', (payload) => {
    pulse.receivePong(payload);
  });
  socket.on('close', () => {
    clearInterval(timer);
  });
}

/** Pings and progress of one socket. */
class Pulse {
  readonly #socket: WebSocket;
  readonly #connection: Socket;
  #pings = 0;
  #pingedAt = performance.now();
  /** Time by which the pong must arrive. Null if no ping is outstanding. */
  #deadline: number | null = null;
  /** Bytes written before the current ping. */
  #writtenBefore = 0;
  /** Bytes written before the last ping that got a pong. The client has read all of them. */
  #readUpTo = 0;
  #lastProgress = '';
  #progressedAt = performance.now();

  constructor(socket: WebSocket, connection: Socket) {
    [this.#socket, this.#connection] = [socket, connection];
  }

  check(): void {
    const now = performance.now();
    const progress = progressOf(this.#connection);
    if (this.#connection.writableLength === 0 || progress !== this.#lastProgress) {
      this.#lastProgress = progress;
      this.#progressedAt = now;
    }
    if (now - this.#progressedAt >= STALL_TIMEOUT_MS) this.#socket.terminate();
    else if (this.#deadline === null) {
      if (now - this.#pingedAt >= PING_INTERVAL_MS) this.#ping(now);
    }
    // While reading from the socket is paused, a pong cannot arrive.
    else if (this.#socket.isPaused) this.#deadline = Math.max(this.#deadline, now + PONG_TIMEOUT_MS);
    else if (now > this.#deadline) this.#socket.terminate();
  }

  receivePong(payload: Buffer): void {
    if (this.#deadline === null || payload.toString() !== String(this.#pings)) return;
    this.#deadline = null;
    this.#readUpTo = this.#writtenBefore;
  }

  #ping(now: number): void {
    this.#pings += 1;
    this.#pingedAt = now;
    this.#writtenBefore = this.#connection.bytesWritten;
    this.#deadline = now + PONG_TIMEOUT_MS + (this.#writtenBefore - this.#readUpTo) / MIN_RATE;
    this.#socket.ping(String(this.#pings));
  }
}

/** Returns a text that changes whenever the operating system accepts bytes, even within one long write. */
function progressOf(connection: Socket): string {
  // Node's own idle timeout reads this internal property too. No public property shows the progress of a write.
  const { _handle } = connection as { _handle?: { writeQueueSize?: number } | null };
  return `${connection.bytesWritten - connection.writableLength} ${_handle?.writeQueueSize ?? 0}`;
}
