import { execFileSync } from 'node:child_process';

/** Returns the path of a program of this machine, or null. Suites that need a missing program are skipped. */
export function findProgram(name: string): string | null {
  try {
    return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
  } catch {
    return null;
  }
}
