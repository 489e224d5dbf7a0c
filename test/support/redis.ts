import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { freePort } from './ports.ts';

/**
 * Returns whether this machine has a redis-server. Otherwise suites that need one are skipped, with a note in their
 * names.
 */
export function hasRedis(): boolean {
  return inject('redisServer') !== '';
}

export interface TestRedis {
  url: string;
  /** Kills the server's process, or freezes and wakes it. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void;
  /** Sends a command, such as FLUSHALL. */
  command(name: string, ...args: string[]): Promise<unknown>;
}

/** Starts a redis-server for the current test, on a free port, without persistence. */
export async function startRedis(): Promise<TestRedis> {
  for (let attempt = 1; ; attempt += 1) {
    const redis = await tryStart(await freePort());
    if (redis) return redis;
    if (attempt === 5) throw new Error('redis-server does not start.');
  }
}

/** Returns null if the server has ended, which happens if another program has taken the port. */
async function tryStart(port: number): Promise<TestRedis | null> {
  const server = spawn(
    inject('redisServer'),
    // A replica would write the data that it loads to the working directory.
    [
      ...['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
      ...['--repl-diskless-load', 'swapdb', '--dir', tmpdir()],
    ],
    { stdio: 'ignore' },
  );
  const exited = once(server, 'exit');
  onTestFinished(async () => {
    server.kill('SIGKILL');
    await exited;
  });
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  client.on('error', () => undefined);
  onTestFinished(() => {
    client.disconnect();
  });
  // A server of another test may respond on the port.
  const info = await Promise.race([client.info('server'), exited.then(() => '')]);
  if (!info.includes(`process_id:${server.pid}\r\n`)) {
    client.disconnect();
    return null;
  }
  return { url, signal: (signal) => server.kill(signal), command: (name, ...args) => client.call(name, ...args) };
}
