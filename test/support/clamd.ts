import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, onTestFinished } from 'vitest';

/** Listens as a clamd that finds a virus in every file. */
export async function startInfectedClamd(port: number): Promise<void> {
  await listen(port, (socket, data) => {
    // The end of a stream is a chunk of length 0.
    if (data.subarray(-4).equals(Buffer.alloc(4))) socket.end('stream: Test.Virus FOUND\0');
  });
}

/** Listens as a clamd that hangs. Returns a function that counts its connections. */
export async function startHungClamd(port: number): Promise<() => number> {
  const sockets = await listen(port, () => undefined);
  return () => sockets.size;
}

/** A clamd that answers when the test wants it to. */
export interface HeldClamd {
  /** Waits until this number of files waits for an answer. */
  receive: (files: number) => Promise<void>;
  /** Waits for the next file, and returns the result of its scan. */
  answer: (result: 'OK' | 'FOUND') => Promise<void>;
}

/** Listens as a clamd whose answers the test gives, in the order of the files. */
export async function startHeldClamd(port: number): Promise<HeldClamd> {
  const waiting: Socket[] = [];
  await listen(port, (socket, data) => {
    if (data.subarray(-4).equals(Buffer.alloc(4))) waiting.push(socket);
  });
  const receive = (files: number) => expect.poll(() => waiting.length).toBeGreaterThanOrEqual(files);
  return {
    receive,
    async answer(result) {
      await receive(1);
      waiting.shift()?.end(`stream: ${result === 'OK' ? 'OK' : 'Test.Virus FOUND'}\0`);
    },
  };
}

async function listen(port: number, onData: (socket: Socket, data: Buffer) => void): Promise<Set<Socket>> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('data', (data) => onData(socket, data));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return sockets;
}
