import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

/**
 * Starts an HTTP proxy that drops the first response to a request whose body matches `what`. The server has executed the
 * request. The client sees a connection reset, or no response at all.
 */
export async function startLossyProxy(
  serverUrl: string,
  what: RegExp,
  fate: 'reset' | 'silence',
): Promise<{ url: string; lost: () => number }> {
  const target = new URL(serverUrl);
  let lost = 0;
  const server = createServer((incoming, outgoing) => {
    void buffer(incoming).then((body) => {
      const { method, headers, url: path } = incoming;
      const forwarded = ask({ host: target.hostname, port: target.port, method, path, headers }, (answer) => {
        void buffer(answer).then((answered) => {
          if (lost === 0 && what.test(body.toString())) {
            lost += 1;
            if (fate === 'reset') outgoing.socket?.resetAndDestroy();
            return;
          }
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers).end(answered);
        });
      });
      forwarded.on('error', () => outgoing.destroy());
      forwarded.end(body);
    });
  });
  server.on('upgrade', (incoming, socket, head) => {
    const upstream = connect(Number(target.port), target.hostname, () => {
      const lines = incoming.rawHeaders.flatMap((name, i, all) => (i % 2 ? [] : [`${name}: ${all[i + 1] ?? ''}`]));
      upstream.write([`GET ${incoming.url ?? '/'} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    for (const [one, other] of [
      [upstream, socket],
      [socket, upstream],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, lost: () => lost };
}
