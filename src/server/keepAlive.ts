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
 *
 * @param isPaused returns whether reading from the socket is paused, so that a pong cannot arrive
 */
export function keepAlive(socket: WebSocket, connection: Socket, isPaused: () => boolean): void {
  let pings = 0;
  let pingedAt = performance.now();
  /** Time by which the pong must arrive. Null if no ping is outstanding. */
  let deadline: number | null = null;
  /** Bytes written before the current ping. */
  let writtenBefore = 0;
  /** Bytes written before the last ping that got a pong. The client has read all of them. */
  let readUpTo = 0;
  let lastProgress = '';
  let progressedAt = performance.now();

  function ping(now: number): void {
    pings += 1;
    pingedAt = now;
    writtenBefore = connection.bytesWritten;
    deadline = now + PONG_TIMEOUT_MS + (writtenBefore - readUpTo) / MIN_RATE;
    socket.ping(String(pings));
  }

  const timer = setInterval(() => {
    const now = performance.now();
    const progress = progressOf(connection);
    if (connection.writableLength === 0 || progress !== lastProgress) {
      lastProgress = progress;
      progressedAt = now;
    }
    if (now - progressedAt >= STALL_TIMEOUT_MS) socket.terminate();
    else if (deadline === null) {
      if (now - pingedAt >= PING_INTERVAL_MS) ping(now);
    } else if (isPaused()) deadline = Math.max(deadline, now + PONG_TIMEOUT_MS);
    else if (now > deadline) socket.terminate();
  }, TICK_MS);
  socket.on('pong', (payload) => {
    if (deadline === null || payload.toString() !== String(pings)) return;
    deadline = null;
    readUpTo = writtenBefore;
  });
  socket.once('close', () => {
    clearInterval(timer);
  });
}

/** Returns a text that changes whenever the operating system accepts bytes, even within one long write. */
function progressOf(connection: Socket): string {
  // Node's own idle timeout reads this internal property too. No public property shows the progress of a write.
  const { _handle } = connection as { _handle?: { writeQueueSize?: number } | null };
  return `${connection.bytesWritten - connection.writableLength} ${_handle?.writeQueueSize ?? 0}`;
}
