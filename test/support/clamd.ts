import { once } from 'node:events';
import { createServer } from 'node:net';
import { onTestFinished } from 'vitest';

/** Listens as a clamd that finds a virus in every file. */
export async function startInfectedClamd(port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    // The end of a stream is a chunk of length 0.
    socket.on('data', (data) => {
      if (data.subarray(-4).equals(Buffer.alloc(4))) socket.end('stream: Test.Virus FOUND\0');
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
}
