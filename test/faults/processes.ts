import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** What must not outlive this process, however it ends: processes by their id, and folders. */
interface Belongings {
  children: Set<ChildProcess>;
  /** Data directories of PostgreSQL, whose server is found by its postmaster.pid. */
  postgres: Set<string>;
  folders: Set<string>;
}

export const belongings: Belongings = { children: new Set(), postgres: new Set(), folders: new Set() };

/** Sees to it that nothing is left behind at Ctrl-C or a crash; a regular end has cleared up already. */
export function clearUpAtExit(): void {
  process.once('exit', clearUp);
  for (const [signal, code] of [['SIGINT', 130] as const, ['SIGTERM', 143] as const, ['SIGHUP', 129] as const]) {
    process.once(signal, () => {
      process.stderr.write(`${signal}: clearing up.\n`);
      process.exit(code);
    });
  }
}

/** All at once and synchronous: an exiting process waits for nothing. */
function clearUp(): void {
  for (const child of belongings.children) child.kill('SIGKILL');
  for (const data of belongings.postgres) {
    const pid = postmasterOf(data);
    if (pid === null) continue;
    // An immediate shutdown: its children go with it.
    signalPid(pid, 'SIGQUIT');
    for (let tries = 0; tries < 100 && signalPid(pid, 0) && postmasterOf(data) !== null; tries += 1)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
  for (const folder of belongings.folders) rmSync(folder, { recursive: true, force: true });
}

/** The server that runs on a data directory, if one does. */
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

/** Starts a process that ends with this one. Ctrl-C in the terminal reaches it through this one alone. */
export function launch(command: string, args: string[], env: Record<string, string | undefined>): ChildProcess {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  belongings.children.add(child);
  child.once('exit', () => belongings.children.delete(child));
  child.once('error', () => belongings.children.delete(child));
  return child;
}

/** Ends a process that was launched, and answers its exit code; null if a signal ended it. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, 'exit');
  child.kill(signal);
  const [code] = (await exited) as [number | null];
  return code;
}

/** The last that a process has printed. */
export function collect(child: ChildProcess, most = 20_000): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-most);
    });
  return () => text;
}
