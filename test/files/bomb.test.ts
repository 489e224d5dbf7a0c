import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { blackPng, writeTemporary } from './inputs.ts';

test('an image of 900 megapixels costs no memory and blocks nothing', async () => {
  const bomb = blackPng(30_000, 30_000);
  expect(bomb.length).toBeLessThan(120_000);
  const path = await writeTemporary(bomb);
  const probe = spawn(process.execPath, ['--import', 'tsx', 'test/files/bombProbe.mjs', path, 'image/png'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [code]] = await Promise.all([text(probe.stdout), once(probe, 'exit')]);
  const { folder, ...cost } = JSON.parse(output);
  await rm(folder, { recursive: true });
  // The process ends by itself, because the closed processor leaves nothing behind.
  expect(code).toBe(0);
  expect(cost).toMatchObject({ small: true, outcome: 'READY', hasVariants: false });
  expect(cost.megabytes).toBeLessThan(300);
  // 50 ms is the goal. The margin is for machines that are busy with other tests.
  expect(cost.longestMs).toBeLessThan(250);
});
