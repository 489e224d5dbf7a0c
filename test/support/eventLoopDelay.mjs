// Loaded into the server's process by startMeteredServer: measures its event loop for the test, which asks over IPC.
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 5;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();

process.on('message', (message) => {
  if (message === 'reset') delay.reset();
  // A stall to test the meter with.
  for (const until = performance.now() + (message.blockMs ?? 0); performance.now() < until;);
  // A delay is recorded by the timer that it held up, which runs after this message: the timers are let run first.
  setTimeout(() => process.send?.(Math.max(delay.max / 1e6 - RESOLUTION_MS, 0)), 2 * RESOLUTION_MS);
});

// The test has ended without ending this process.
process.once('disconnect', () => process.exit());
