import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Maximum number of requests that wait on one connection. A further request closes the connection. Browsers and proxies
 * do not pipeline.
 */
const MAX_WAITING = 50;

/**
 * Creates a request handler that handles the requests of each connection one after the other.
 *
 * HTTP/1.1 sends responses in the order of the requests, so a response that is ready early would only wait in memory.
 * Without this handler, a client that sent 5 MB of pipelined requests and read nothing caused 370 MB of responses.
 */
export function createPipelining(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): (request: IncomingMessage, response: ServerResponse) => void {
  /** Waiting requests, for each connection with a request in progress. */
  const connections = new WeakMap<Socket, (() => void)[]>();
  return (request, response) => {
    const { socket } = request;
    const run = () => {
      response.once('close', () => {
        const next = socket.destroyed ? undefined : connections.get(socket)?.shift();
        if (next) next();
        else connections.delete(socket);
      });
      handle(request, response);
    };
    const queue = connections.get(socket);
    if (!queue) {
      connections.set(socket, []);
      run();
    } else if (queue.length < MAX_WAITING) queue.push(run);
    else socket.destroy();
  };
}
