import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface ServerProcess {
  url: string;
  pid: number;
  /** Returns the output so far. */
  output: () => string;
  /** Sends a signal and waits until the process ends. Returns the exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/**
 * Creates an empty folder for the embedded database. The folder and a PostgreSQL left on it are removed after the test.
 */
export async function createDataDir(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-data-'));
  // If root runs the tests, the database's user must be able to enter the folder.
  await chmod(dataDir, 0o755);
  onTestFinished(async () => {
    // A start and a regular stop take over and stop a PostgreSQL that a killed process left.
    const server = await startProcess(dataDir);
    await server.end('SIGTERM');
    await rm(dataDir, { recursive: true, force: true });
  }, 60_000);
  return dataDir;
}

/** Runs a command of the program, such as `seed`. Returns its exit code and output. */
export async function runCommand(dataDir: string, ...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = launch(dataDir, args);
  const output = collect(child);
  const [code] = (await once(child, 'exit')) as [number | null];
  return { code, output: output() };
}

/** Runs the program with only these settings, for example a refused start or a command. */
export async function runProgram(
  env: Record<string, string>,
  ...args: string[]
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts', ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = collect(child);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output: output() };
}

/** Starts the program as `npm start` does. Returns when it prints that it is ready. */
export async function startProcess(dataDir: string): Promise<ServerProcess> {
  return untilReady(launch(dataDir, []));
}

/** Starts the program with only these settings. It ends with the test. */
export async function startProgram(env: Record<string, string>): Promise<ServerProcess> {
  const server = await untilReady(
    spawn(process.execPath, ['--import', 'tsx', 'src/main.ts'], {
      env: { PATH: process.env['PATH'], PORT: '0', HOST: '127.0.0.1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  onTestFinished(async () => {
    await server.end('SIGKILL');
  });
  return server;
}

/** Returns when a started server prints that it is ready. */
export async function untilReady(child: ChildProcess): Promise<ServerProcess> {
  const output = collect(child);
  const exited = once(child, 'exit');
  const url = await new Promise<string>((resolve, reject) => {
    const look = () => {
      const [, found] = /HTTP, SSE +(http\S+)\/graphql/.exec(output()) ?? [];
      if (found) resolve(found);
    };
    child.stdout?.on('data', look);
    child.once('exit', () => {
      reject(new Error(`The server ended:\n${output()}`));
    });
  });
  return {
    url,
    pid: child.pid ?? 0,
    output,
    async end(signal) {
      child.kill(signal);
      const [code] = (await exited) as [number | null];
      return code;
    },
  };
}

function launch(dataDir: string, args: string[]): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', 'src/main.ts', ...args], {
    env: { PATH: process.env['PATH'], PORT: '0', HOST: '127.0.0.1', DATA_DIR: dataDir, LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function collect(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  return () => text;
}
