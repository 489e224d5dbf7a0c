import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { freePort } from './ports.ts';

/** Whether this machine has a redis-server; suites that need one are skipped by name where it has not. */
export function hasRedis(): boolean {
  return inject('redisServer') !== '';
}

export interface TestRedis {
  url: string;
  /** Ends the server's process, or freezes and wakes it. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void;
  /** Sends a command, such as FLUSHALL. */
  command(name: string, ...args: string[]): Promise<unknown>;
}

/** A redis-server of this test alone, on a free port; it keeps nothing on disk. */
export async function startRedis(): Promise<TestRedis> {
  for (let attempt = 1; ; attempt += 1) {
    const redis = await tryStart(await freePort());
    if (redis) return redis;
    if (attempt === 5) throw new Error('redis-server does not start.');
  }
}

/** Null if the server has ended, which it does if another program has taken the port. */
async function tryStart(port: number): Promise<TestRedis | null> {
  const server = spawn(
    inject('redisServer'),
    // A replica would write what it loads to the working directory.
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
  // A server of another test may answer on the port.
  const info = await Promise.race([client.info('server'), exited.then(() => '')]);
  if (!info.includes(`process_id:${server.pid}\r\n`)) {
    client.disconnect();
    return null;
  }
  return { url, signal: (signal) => server.kill(signal), command: (name, ...args) => client.call(name, ...args) };
}
