import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A fixed address in front of several servers, like a cloud endpoint or a virtual IP. */
export interface Endpoint {
  port: number;
  /** Sends new connections to another port. Existing connections stay. */
  moveTo(port: number): void;
  /** Closes all connections. */
  cut(): void;
}

export async function startEndpoint(firstPort: number, port = 0): Promise<Endpoint> {
  let target = firstPort;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const upstream = connect(target, '127.0.0.1');
    for (const each of [socket, upstream]) {
      sockets.add(each);
      each.setNoDelay(true);
      each.on('error', () => undefined);
      each.on('close', () => {
        sockets.delete(each);
        socket.destroy();
        upstream.destroy();
      });
    }
    socket.pipe(upstream).pipe(socket);
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(async () => {
    server.close();
    cut();
    await once(server, 'close');
  });
  return {
    port: (server.address() as AddressInfo).port,
    moveTo(next) {
      target = next;
    },
    cut,
  };
}
