import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What Linux calls a tick. */
const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const PAGE_BYTES = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));

/** The processor time that a process has used, in seconds; what else runs on the machine does not count. */
export function cpuSeconds(pid: number): number {
  // The name may hold spaces; it ends with the last bracket.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** The memory that a process holds, in bytes. */
export function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * PAGE_BYTES;
}

/** Begins to watch what the host of a virtual machine gives to others; answers a function that tells its share so far, in %. */
export function watchHost(): () => number {
  // Of all processors, in ticks: user, nice, system, idle, iowait, irq, softirq, steal.
  const look = () => {
    const [line = ''] = readFileSync('/proc/stat', 'latin1').split('\n', 1);
    const ticks = line.split(/ +/).slice(1, 9).map(Number);
    return { stolen: ticks[7] ?? 0, all: ticks.reduce((sum, each) => sum + each, 0) };
  };
  const before = look();
  return () => {
    const { stolen, all } = look();
    return (100 * (stolen - before.stolen)) / Math.max(all - before.all, 1);
  };
}
