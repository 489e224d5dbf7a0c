// startMeteredServer loads this module into the server's process. It measures the event loop, and reports to the test
// over IPC.
import { waitedForCore } from './runQueue.mjs';

const INTERVAL_MS = 5;

/** Returns the processor time since the process started, in milliseconds. */
function computedMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

let longestMs = 0;
let last = now();

function now() {
  return { time: performance.now(), waited: waitedForCore('thread-self') };
}

/** Records the delay of a timer, without the time for which the thread waited for a core. */
function measure() {
  const { time, waited } = now();
  longestMs = Math.max(longestMs, time - last.time - (waited - last.waited) - INTERVAL_MS);
  last = { time, waited };
}
setInterval(measure, INTERVAL_MS).unref();

process.on('message', (message) => {
  if (message === 'reset') {
    longestMs = 0;
    last = now();
  }
  // Blocks the event loop, to test the meter.
  const until = computedMs() + (message.blockMs ?? 0);
  while (computedMs() < until);
  measure();
  process.send?.(longestMs);
});

// The test has ended without ending this process.
process.once('disconnect', () => process.exit());
