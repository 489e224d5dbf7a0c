import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';

const TICK_MS = 3_000;
const PING_MS = 12_000;
/** How long a client may take to answer a ping, if nothing else was written before. */
const MAX_SILENCE_MS = 12_000;
/** How long the system may take none of the bytes that wait in a connection, before it is closed. */
const MAX_STALL_MS = 30_000;
/**
 * Bytes that the slowest accepted client reads in a millisecond. A ping stands behind all that was written before it, up to
 * some megabytes of which are in buffers of the two systems, where a server cannot see whether they are read.
 */
const MIN_RATE = 10;

/**
 * Pings a socket, and cuts the connection of a client that is gone or does not read: one that does not answer a ping in
 * time, and one whose connection has taken nothing for 30 s although bytes wait. A slow client is neither.
 *
 * One ping is under way at a time. Only a pong with its payload answers it, because a client that does not read can send
 * pongs without being asked.
 *
 * @param isPaused whether the socket is not being read, so that no pong can be seen
 */
export function keepAlive(socket: WebSocket, connection: Socket, isPaused: () => boolean): void {
  let pings = 0;
  let pingedAt = performance.now();
  /** Null if the ping is answered. */
  let deadline: number | null = null;
  /** Bytes written before the ping, and before the last answered ping. */
  let writtenBefore = 0;
  let readUpTo = 0;
  let taken = '';
  let takenAt = performance.now();

  function ping(now: number): void {
    pings += 1;
    pingedAt = now;
    writtenBefore = connection.bytesWritten;
    deadline = now + MAX_SILENCE_MS + (writtenBefore - readUpTo) / MIN_RATE;
    socket.ping(String(pings));
  }

  const timer = setInterval(() => {
    const now = performance.now();
    const progress = progressOf(connection);
    if (connection.writableLength === 0 || progress !== taken) {
      taken = progress;
      takenAt = now;
    }
    if (now - takenAt >= MAX_STALL_MS) socket.terminate();
    else if (deadline === null) {
      if (now - pingedAt >= PING_MS) ping(now);
    } else if (isPaused()) deadline = Math.max(deadline, now + MAX_SILENCE_MS);
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

/** Changes whenever the system takes bytes from a connection, also within one long write. */
function progressOf(connection: Socket): string {
  // Node's own idle timeout reads this property too; nothing public shows how far a write has come.
  const { _handle } = connection as { _handle?: { writeQueueSize?: number } | null };
  return `${connection.bytesWritten - connection.writableLength} ${_handle?.writeQueueSize ?? 0}`;
}
