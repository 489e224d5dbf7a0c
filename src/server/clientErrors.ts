import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

/** Status of the response to a request that cannot be parsed or arrives too slowly, by the code of the error. */
const STATUS: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/**
 * Creates the listener for errors of HTTP connections. It responds as Node.js does without a listener, except that an
 * upload may arrive slowly.
 *
 * @param uploading connections on which an upload arrives
 */
export function createClientErrorListener(uploading: {
  has(socket: Duplex): boolean;
}): (error: Error & { code?: string }, socket: Duplex) => void {
  return (error, socket) => {
    const { code = '' } = error;
    if (code === 'ERR_HTTP_REQUEST_TIMEOUT' && uploading.has(socket)) return;
    const status = STATUS[code] ?? 400;
    // A response that has begun cannot be followed by another one.
    const { _httpMessage: current } = socket as Duplex & { _httpMessage?: { headersSent: boolean } | null };
    if (socket.writable && !current?.headersSent)
      socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\n\r\n`);
    socket.destroy(error);
  };
}
