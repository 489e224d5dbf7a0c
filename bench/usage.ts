import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Clock ticks per second, the unit of /proc. */
const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const PAGE_BYTES = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));

/** Returns the CPU time that a process has used so far, in seconds. Other processes do not affect it. */
export function cpuSeconds(pid: number): number {
  // The process name may contain spaces. It ends with the last bracket.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Returns the resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * PAGE_BYTES;
}

/** Starts measuring stolen CPU time. Returns a function that returns its share so far, in percent. */
export function measureStolenTime(): () => number {
  // Sums over all processors, in ticks: user, nice, system, idle, iowait, irq, softirq, steal.
  const readTicks = () => {
    const [line = ''] = readFileSync('/proc/stat', 'latin1').split('\n', 1);
    const ticks = line.split(/ +/).slice(1, 9).map(Number);
    return { stolen: ticks[7] ?? 0, all: ticks.reduce((sum, each) => sum + each, 0) };
  };
  const before = readTicks();
  return () => {
    const { stolen, all } = readTicks();
    return (100 * (stolen - before.stolen)) / Math.max(all - before.all, 1);
  };
}
