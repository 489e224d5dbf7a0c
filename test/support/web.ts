import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import dns2 from 'dns2';
import { onTestFinished } from 'vitest';
import { isPublicAddress } from '../../src/platform/web/addresses.ts';
import type { WebOptions } from '../../src/platform/web/webClient.ts';

/**
 * Loopback address that stands for the public web in tests. A client may connect to it only because a test passes
 * `allowsAddress`; see `WebOptions`. macOS has no 127.0.0.2.
 */
export const PUBLIC = process.platform === 'darwin' ? '::1' : '127.0.0.2';

/** Returns the URL of a page that {@link serve} serves at a port of the public address. */
export const onPublic = (port: number, path = '/') =>
  `http://${PUBLIC.includes(':') ? `[${PUBLIC}]` : PUBLIC}:${port}${path}`;

/** Starts a web server on an address of this machine. It ends with the test. Returns its port. */
export async function serve(
  handle: RequestListener,
  address = PUBLIC,
  port = 0,
  onConnection: () => void = () => undefined,
): Promise<number> {
  const server = createServer(handle).on('connection', onConnection);
  server.listen(port, address);
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

/**
 * Starts a DNS server on loopback. It ends with the test.
 *
 * @param resolve returns the addresses of a name for the nth query, from 1
 * @returns the option `dnsServers` of a client
 */
export async function startDns(resolve: (name: string, query: number) => readonly string[]): Promise<string[]> {
  const { TYPE, CLASS, createResponseFromRequest } = dns2.Packet;
  const queries = new Map<string, number>();
  const server = dns2.createServer({
    udp: true,
    handle(request, send) {
      const response = createResponseFromRequest(request);
      const [{ name, type } = { name: '', type: 0 }] = request.questions;
      const query = (queries.get(`${name} ${type}`) ?? 0) + 1;
      queries.set(`${name} ${type}`, query);
      for (const address of resolve(name, query))
        if (type === (address.includes(':') ? TYPE.AAAA : TYPE.A))
          response.answers.push({ name, type, class: CLASS.IN, ttl: 0, address });
      send(response);
    },
  });
  const { udp } = await server.listen({ udp: { port: 0, address: '127.0.0.1' } });
  onTestFinished(() => server.close());
  return [`127.0.0.1:${udp.port}`];
}

/**
 * Listens on loopback, where no connection may arrive. Ends with the test.
 *
 * @returns the port, and a function that returns the number of connections so far
 */
export async function setTrap(onPort = 0): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const trapped: RequestListener = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<title>Trapped</title>');
  };
  const count = () => (connections += 1);
  const port = await serve(trapped, '127.0.0.1', onPort, count);
  // A machine without IPv6 has no other loopback address.
  if (PUBLIC !== '::1') await serve(trapped, '::1', port, count).catch(() => undefined);
  return { port, connections: () => connections };
}

/** Serves pages, and returns the options of a server that may request them. Other addresses stay those of production. */
export async function servePages(
  handle: RequestListener,
): Promise<{ web: WebOptions; urlOf: (path: string) => string }> {
  const port = await serve(handle);
  const allowsAddress = (address: string) => address === PUBLIC || isPublicAddress(address);
  return { web: { ports: [80, 443, port], allowsAddress }, urlOf: (path) => onPublic(port, path) };
}
