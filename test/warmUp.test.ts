import { describe, expect, test } from 'vitest';
import { createLog } from '../src/platform/observability/log.ts';
import { readMetrics, readOpen } from './support/metrics.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createTestDatabase, startTestServer, waitForPoll } from './support/server.ts';
import { runStatement } from './support/statement.ts';
import { send, world } from './support/world.ts';

/** Returns the number of rows of each table. */
async function countRows(databaseUrl: string): Promise<unknown[]> {
  const tables = await runStatement<{ name: string }>(
    databaseUrl,
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY name`,
  );
  const counts = tables.map(({ name }) => `SELECT '${name}' AS name, count(*)::int AS rows FROM ${name}`);
  return runStatement(databaseUrl, counts.join(' UNION ALL '));
}

const countSends = (statements: string[]) => statements.filter((text) => text.includes('FROM store_messages(')).length;

describe('the warm-up of a node', () => {
  test('ends before the node accepts requests', async () => {
    const server = await startTestServer({ warmsUp: true });
    expect(countSends(server.statements())).toBeGreaterThan(0);
    await waitForPoll(server);
    expect(countSends(server.statements())).toBe(0);
    const { ann, room } = await world(server);
    expect((await send(ann, room, 'the first message')).number).toBe(1);
  });

  test('leaves no rows, log lines or metrics', async () => {
    const databaseUrl = await createTestDatabase();
    const before = await countRows(databaseUrl);
    const lines: string[] = [];
    const log = createLog({ LOG_LEVEL: 'info' }, { write: (line: string) => lines.push(line) });
    const server = await startTestServer({ databaseUrl, log, warmsUp: true, env: { RATE_LIMITS: 'on' } });
    expect(await countRows(databaseUrl)).toEqual(before);
    expect(lines).toEqual([]);
    const metrics = await readMetrics(server.url);
    expect([...metrics.keys()].filter((name) => /^parley_request/.test(name))).toEqual([]);
    expect(metrics.get('parley_messages_sent_total')).toBe(0);
    expect(metrics.get('parley_operations')).toBe(0);
    expect(Object.values(await readOpen(server.url)).filter((open) => open !== 0)).toEqual([]);
  });

  test.skipIf(!hasRedis())('charges no rate limit in Redis', async () => {
    const redis = await startRedis();
    const server = await startTestServer({ redisUrl: redis.url, warmsUp: true, env: { RATE_LIMITS: 'on' } });
    expect(countSends(server.statements())).toBeGreaterThan(0);
    expect(await redis.command('KEYS', 'parley:limits:*')).toEqual([]);
  });
});
