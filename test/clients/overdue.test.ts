import { expect, onTestFinished, test, vi } from 'vitest';
import { createOverdue } from '../../client/react/overdue.ts';

/** Time between two messages of a room, in milliseconds. */
const INTERVAL_MS = 10_000;
const ROOMS = ['one', 'two', 'three'];

/** Returns how often the rooms are loaded while each gets `count` messages, whose events are `delayMs` late. */
function countLoads(overdue: ReturnType<typeof createOverdue>, loads: () => number, count: number, delayMs: number) {
  const before = loads();
  for (let i = 0; i < count; i += 1) {
    for (const room of ROOMS) overdue.expect(room);
    vi.advanceTimersByTime(delayMs);
    for (const room of ROOMS) overdue.arrived(room);
    vi.advanceTimersByTime(INTERVAL_MS - delayMs);
  }
  return loads() - before;
}

test('a slow server is asked for unread counts less and less often', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const onOverdue = vi.fn();
  const overdue = createOverdue(onOverdue);
  const loads = () => onOverdue.mock.calls.length;
  expect(countLoads(overdue, loads, 20, 100)).toBe(0);
  // After two loads the timeout is 8 s.
  expect(countLoads(overdue, loads, 20, 5_000)).toBe(2);
  expect(countLoads(overdue, loads, 20, 5_000)).toBe(0);
  // The stream has started again, so an event may be missing.
  overdue.started();
  expect(countLoads(overdue, loads, 1, 5_000)).toBe(1);
});
