import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface CuttingProxy {
  url: string;
  /** Number of bytes that each PUT has passed to the server. */
  passed: number[];
}

/**
 * Starts an HTTP proxy that resets the connection of a PUT, or stops reading it, after some bytes. `cuts` has the number
 * of bytes for each PUT. Later PUTs and all other requests pass.
 */
export async function startCuttingProxy(
  serverUrl: string,
  cuts: readonly number[],
  fate: 'reset' | 'silence' = 'reset',
): Promise<CuttingProxy> {
  const { hostname, port } = new URL(serverUrl);
  const passed: number[] = [];
  const server = createServer((incoming, outgoing) => {
    const { method, headers, url: path } = incoming;
    const forwarded = ask({ host: hostname, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    if (method !== 'PUT') {
      incoming.pipe(forwarded);
      return;
    }
    const index = passed.push(0) - 1;
    incoming.on('data', (chunk: Buffer) => {
      forwarded.write(chunk);
      passed[index] = (passed[index] ?? 0) + chunk.length;
      if (passed[index] < (cuts[index] ?? Infinity)) return;
      if (fate === 'silence') incoming.pause();
      else {
        incoming.socket.resetAndDestroy();
        forwarded.destroy();
      }
    });
    incoming.on('end', () => forwarded.end());
    incoming.on('close', () => {
      if (!incoming.complete) forwarded.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, passed };
}
