import { expect, test } from 'vitest';
import { findLateness } from './stats.ts';

test('messages as late as without notifications are found, outliers are not', () => {
  const soon = { count: 60, p50: 12, p99: 700, most: 5_000, overdue: 1 };
  const others = { retries: 0, resyncs: 0, failed: 0, heldUp: 0.01 };
  const kinds = (healthy: object, withoutRedis: object) =>
    findLateness({ healthy: { ...soon, ...healthy }, withoutRedis: { ...soon, ...withoutRedis }, ...others }).length;
  expect(kinds({}, {})).toBe(0);
  expect(kinds({ p50: 400 }, {})).toBe(1);
  expect(kinds({}, { overdue: 8 })).toBe(1);
  others.heldUp = 0.1;
  expect(kinds({ p50: 400 }, { overdue: 8 })).toBe(0);
  others.heldUp = 0.01;
  expect(kinds({ p50: 400, count: 10 }, { overdue: 8, count: 10 })).toBe(0);
});
