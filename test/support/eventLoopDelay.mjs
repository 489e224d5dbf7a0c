// Loaded into the server's process by startMeteredServer: measures its event loop for the test, which asks over IPC.
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 5;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();

/** How long the process has computed since it started, in milliseconds. */
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
  // A stall to test the meter with.
  const until = computedMs() + (message.blockMs ?? 0);
  while (computedMs() < until);
  // A delay is recorded by the timer that it held up, which runs after this message: the timers are let run first.
  setTimeout(() => {
    process.send?.({ loopMs: Math.max(delay.max / 1e6 - RESOLUTION_MS, 0), cpuMs: computedMs() - began });
  }, 2 * RESOLUTION_MS);
});

// The test has ended without ending this process.
process.once('disconnect', () => process.exit());
