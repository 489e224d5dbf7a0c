import { expect, onTestFinished, test } from 'vitest';
import { createWorkerPool, exceededLimits, TaskTimeout } from '../../src/platform/images/workerPool.ts';

function createPool({ size = 1, timeLimitMs = 60_000 } = {}) {
  const script = new URL('stuckWorker.mjs', import.meta.url);
  const pool = createWorkerPool<string, number>({ script, size, timeLimitMs });
  onTestFinished(() => pool.close());
  return pool;
}

test('a task beyond the time limit ends with its worker', async () => {
  const pool = createPool({ timeLimitMs: 500 });
  const stuck = pool.run('loop');
  const next = pool.run('work');
  await expect(stuck).rejects.toThrow(TaskTimeout);
  expect(await next).toBeGreaterThan(0);
});

test('a worker is used again, and replaced after it ends', async () => {
  const pool = createPool();
  const first = await pool.run('work');
  await expect(pool.run('fail')).rejects.toThrow('The task failed.');
  expect(await pool.run('work')).toBe(first);
  await expect(pool.run('throw')).rejects.toThrow('The worker is broken.');
  await expect(pool.run('exit')).rejects.toThrow('The worker has ended.');
  expect(await pool.run('work')).not.toBe(first);
});

test('no more workers run than the pool has places', async () => {
  const pool = createPool({ size: 2 });
  const ids = await Promise.all(Array.from({ length: 10 }, () => pool.run('work')));
  expect(new Set(ids).size).toBe(2);
});

test('closing the pool ends running, waiting and later tasks', async () => {
  const pool = createPool();
  const tasks = [pool.run('loop'), pool.run('work')];
  await pool.close();
  const results = await Promise.allSettled([...tasks, pool.run('work')]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
});

test('only a task beyond the time limit or the heap has exceeded limits', async () => {
  const pool = createPool({ timeLimitMs: 10_000 });
  const hasExceeded = (task: string) => pool.run(task).catch(exceededLimits);
  expect(await hasExceeded('fill')).toBe(true);
  for (const task of ['fail', 'throw', 'exit']) expect([task, await hasExceeded(task)]).toEqual([task, false]);
  expect(exceededLimits(new TaskTimeout())).toBe(true);
});
