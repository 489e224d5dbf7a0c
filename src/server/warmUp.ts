import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { GraphQLSchema } from 'graphql';
import type { Config } from '../core/config/settings.ts';
import type { ServerNode } from '../core/context.ts';
import { createUuid, encodeId } from '../core/globalIds.ts';
import { withTimeout } from '../core/timeout.ts';
import { PATH } from '../graphql/transport.ts';
import { createGraphQL } from '../graphql/yoga.ts';
import { createCounters, createGauges } from '../platform/observability/gauges.ts';
import { createLog } from '../platform/observability/log.ts';
import { createMetrics } from '../platform/observability/metrics.ts';
import { createRateLimits } from '../platform/rateLimits/rateLimits.ts';

/** Time after which a warm-up starts no more requests, in milliseconds. A node starts later by this time. */
const MAX_MS = 800;
/** Time after which a node no longer waits for requests of the warm-up, in milliseconds. The database may be slow. */
const TIMEOUT_MS = 2_000;
/** Maximum number of requests of a warm-up. On a fast machine, a warm-up ends before `MAX_MS`. */
const MAX_REQUESTS = 2_000;
/** Number of requests at a time. They open as many database connections as the same number of clients. */
const AT_ONCE = 20;

const SEND = `mutation ($input: SendMessageInput!) {
  sendMessage(input: $input) { message { id number body createdAt } deduplicated }
}`;

/**
 * Sends messages to a node before it accepts requests. Otherwise, users would wait while V8 compiles the code, and while
 * PostgreSQL opens connections and plans statements.
 *
 * The requests pass through the code of real requests, on a copy of the node. The copy has its own log, metrics, counters
 * and rate limits, which are discarded. The user and the room do not exist, so nothing is stored and nobody is notified.
 *
 * Failures are ignored, because readiness checks report a failing database.
 */
export async function warmUp(config: Config, node: ServerNode, schema: GraphQLSchema): Promise<void> {
  const { yoga } = createGraphQL(
    { ...config, PERSISTED_ONLY: undefined, RATE_LIMITS: 'off' },
    withoutEffects(config, node),
    {
      schema,
      graphiql: () => {
        throw new Error('A warm-up does not open GraphiQL.');
      },
    },
  );
  const { token } = await node.accessTokens.sign(createUuid(), createUuid());
  const authorization = `Bearer ${token}`;
  // A server of its own, because the node does not accept requests yet. It refuses all requests but those below.
  const server = createServer((request, response) => {
    if (request.headers.authorization === authorization) void yoga(request, response, { incoming: request, response });
    else request.socket.destroy();
  });
  const deadline = performance.now() + MAX_MS;
  try {
    await withTimeout(
      TIMEOUT_MS,
      listen(server).then((port) => sendUntil(deadline, port, authorization)),
    );
  } catch (error) {
    node.log.debug({ error }, 'The warm-up did not end.');
  } finally {
    server.close();
    server.closeAllConnections();
    await yoga.dispose();
  }
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function sendUntil(deadline: number, port: number, authorization: string): Promise<void> {
  const input = { chatroomId: encodeId('Chatroom', createUuid()), body: 'A message of the warm-up.' };
  const body = JSON.stringify({ query: SEND, variables: { input } });
  const request = [
    `POST ${PATH} HTTP/1.1`,
    `host: localhost\r\ncontent-type: application/json\r\nauthorization: ${authorization}`,
    `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  ].join('\r\n');
  let requests = 0;
  const connections = Array.from({ length: AT_ONCE }, async () => {
    const socket = connect(port, '127.0.0.1');
    while (performance.now() < deadline && requests++ < MAX_REQUESTS) {
      socket.write(request);
      // The response is small and therefore arrives in one chunk.
      await once(socket, 'data');
    }
    socket.destroy();
  });
  await Promise.all(connections);
}

/** Returns a copy of a node whose operations have no effect. Statements run as usual, but find no user and no room. */
function withoutEffects(config: Config, node: ServerNode): ServerNode {
  return {
    ...node,
    log: createLog(config, { write: () => undefined }),
    metrics: createMetrics(),
    gauges: createGauges(),
    counters: createCounters(),
    // Off, because one user sends all messages.
    rateLimits: createRateLimits({ ...config, RATE_LIMITS: 'off' }, null),
    tracing: null,
    async findSession(claims, needsSnapshot) {
      await node.findSession(claims, needsSnapshot);
      return { asOf: needsSnapshot ? node.changePoller.snapshot() : null };
    },
    async sendQueue(send) {
      const stored = await node.sendQueue(send);
      const { chatroomId, userId: senderId, body } = send;
      const created = { chatroomId, senderId, body, number: 1, seq: 1, createdAt: new Date() };
      return { ...stored, outcome: 'REPEATED', message: { ...stored.message, ...created } };
    },
  };
}
