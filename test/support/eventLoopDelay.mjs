// Loaded into the server's process by startMeteredServer: measures its event loop for the test, which asks over IPC.
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 5;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();

let began = process.cpuUsage();

process.on('message', (message) => {
  if (message === 'reset') {
    delay.reset();
    began = process.cpuUsage();
  }
  // A stall to test the meter with.
  const before = process.cpuUsage().user;
  while (process.cpuUsage().user - before < (message.blockMs ?? 0) * 1e3);
  // A delay is recorded by the timer that it held up, which runs after this message: the timers are let run first.
  setTimeout(() => {
    const { user, system } = process.cpuUsage(began);
    process.send?.({ loopMs: Math.max(delay.max / 1e6 - RESOLUTION_MS, 0), cpuMs: (user + system) / 1e3 });
  }, 2 * RESOLUTION_MS);
});

// The test has ended without ending this process.
process.once('disconnect', () => process.exit());
