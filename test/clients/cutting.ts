import { request as ask } from 'node:http';
import { serve } from '../support/web.ts';

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
  const proxyPort = await serve((incoming, outgoing) => {
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
  }, '127.0.0.1');
  return { url: `http://127.0.0.1:${proxyPort}`, passed };
}
