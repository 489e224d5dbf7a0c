import { expect, test } from 'vitest';
import { administer } from '../../src/cli/admin/admin.ts';
import { createProgress } from '../../src/cli/progressBar.ts';
import { parseConfig } from '../../src/core/config/config.ts';
import { sql } from '../../src/platform/database/database.ts';
import { dataDirOf, startTestServer } from '../support/server.ts';

test('`files --clean` retries the deletions that doctor names', async () => {
  const { node, databaseUrl } = await startTestServer();
  const { query } = node.database;
  const admin = async (...words: string[]) => {
    const tools = {
      config: parseConfig({ DATA_DIR: dataDirOf(databaseUrl) }),
      nodeVersion: process.versions.node,
      readInput: () => Promise.resolve(''),
      progress: createProgress({ isTTY: false, write: () => true }),
    };
    const database = { url: databaseUrl, stop: () => Promise.resolve() };
    return (await administer(words, tools, () => Promise.resolve(database))).text;
  };
  const id = crypto.randomUUID();
  await query(sql`
    SELECT graphile_worker.add_job('delete_file', ${JSON.stringify({ attachmentId: id })}::json,
      run_at => now() + interval '1 day')`);
  await query(sql`
    UPDATE graphile_worker._private_jobs
      SET attempts = max_attempts, run_at = now(), last_error = 'The store is away.'`);
  expect(await admin('doctor')).toContain(id);
  expect(await admin('files', '--clean')).toContain('retries 1 failed deletions');
  await expect.poll(() => query(sql`SELECT FROM graphile_worker.jobs`)).toEqual([]);
  expect(await admin('doctor')).not.toContain(id);
});
