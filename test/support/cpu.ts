/**
 * Returns the processor time of synchronous work in milliseconds, as the minimum of three runs. A busy machine
 * lengthens the wait, not the processor time. Garbage collection or compilation lengthens one run, not all three.
 */
export function cpuMs(work: () => unknown): number {
  const runs = [1, 2, 3].map(() => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  });
  return Math.min(...runs);
}
