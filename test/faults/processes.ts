import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Processes and folders that must be removed when this process ends, however it ends. */
interface Belongings {
  children: Set<ChildProcess>;
  /** Data directories of PostgreSQL. The server is found by its postmaster.pid. */
  postgres: Set<string>;
  folders: Set<string>;
}

export const belongings: Belongings = { children: new Set(), postgres: new Set(), folders: new Set() };

/** Registers the cleanup after Ctrl-C or a crash. A regular end has already cleaned up. */
export function clearUpAtExit(): void {
  process.once('exit', clearUp);
  for (const [signal, code] of [['SIGINT', 130] as const, ['SIGTERM', 143] as const, ['SIGHUP', 129] as const]) {
    process.once(signal, () => {
      process.stderr.write(`${signal}: clearing up.\n`);
      process.exit(code);
    });
  }
}

/** Removes everything synchronously, because an exiting process waits for nothing. */
function clearUp(): void {
  for (const child of belongings.children) child.kill('SIGKILL');
  for (const data of belongings.postgres) {
    const pid = postmasterOf(data);
    if (pid === null) continue;
    // SIGQUIT is an immediate shutdown, which ends its child processes too.
    signalPid(pid, 'SIGQUIT');
    for (let tries = 0; tries < 100 && signalPid(pid, 0) && postmasterOf(data) !== null; tries += 1)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
  for (const folder of belongings.folders) rmSync(folder, { recursive: true, force: true });
}

/** Returns the process id of the server on a data directory, or null. */
export function postmasterOf(data: string): number | null {
  try {
    return Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]) || null;
  } catch {
    return null;
  }
}

export function signalPid(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** Starts a process that ends with this one. A separate process group keeps Ctrl-C from reaching it directly. */
export function launch(command: string, args: string[], env: Record<string, string | undefined>): ChildProcess {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  belongings.children.add(child);
  child.once('exit', () => belongings.children.delete(child));
  child.once('error', () => belongings.children.delete(child));
  return child;
}

/** Ends a launched process. Returns its exit code, or null if a signal ended it. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, 'exit');
  child.kill(signal);
  const [code] = (await exited) as [number | null];
  return code;
}

/** Collects the output of a process, up to the last `most` characters. */
export function collect(child: ChildProcess, most = 20_000): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-most);
    });
  return () => text;
}
