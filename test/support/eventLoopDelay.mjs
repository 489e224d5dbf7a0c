// startMeteredServer loads this module into the server's process. It measures the event loop, and reports to the test
// over IPC.
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 5;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();

/** Returns the processor time since the process started, in milliseconds. */
function computedMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

let began = computedMs();

process.on('message', (message) => {
  if (message === 'reset') {
    delay.reset();
    began = computedMs();
  }
  // Blocks the event loop, to test the meter.
  const until = computedMs() + (message.blockMs ?? 0);
  while (computedMs() < until);
  // The delayed timer records the delay, but runs after this message. So the response waits for the timers.
  setTimeout(() => {
    process.send?.({ loopMs: Math.max(delay.max / 1e6 - RESOLUTION_MS, 0), cpuMs: computedMs() - began });
  }, 2 * RESOLUTION_MS);
});

// The test has ended without ending this process.
process.once('disconnect', () => process.exit());
