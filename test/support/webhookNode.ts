import { pino } from 'pino';
import { parseConfig } from '../../src/core/config/config.ts';
import { startServer } from '../../src/server/httpServer.ts';

// A node as a process of its own, whose attempts follow one another faster than in production. Its leases last as long.

const config = parseConfig(process.env);
const server = await startServer(config, {
  databaseUrl: config.DATABASE_URL ?? '',
  authSecret: config.AUTH_SECRET ?? '',
  log: pino({ level: config.LOG_LEVEL }),
  hashCost: { memoryCost: 8, timeCost: 1, parallelism: 1 },
  webhooks: { firstDelayMs: 20, maxDelayMs: 500, timeoutMs: 2_000 },
});
process.stdout.write(`HTTP, SSE ${server.url}/graphql\n`);
