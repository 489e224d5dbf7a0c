import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished } from 'vitest';
import { untilReady } from './process.ts';
import { AUTH_SECRET, createTestDatabase } from './server.ts';

/** Maximum time in milliseconds for which one client's input may delay other clients. */
export const MAX_STALL_MS = 250;
/** Delays of a server in milliseconds, without the time for which a thread waited for a core of a busy machine. */
export interface Stall {
  /** Longest response time of another client, which queries `{ __typename }` continuously. */
  probeMs: number;
  /** Longest delay of the event loop in the server's process. */
  loopMs: number;
}

export interface MeteredServer {
  url: string;
  databaseUrl: string;
  /** Returns the output so far. */
  output: () => string;
  /** Blocks the server itself, to test the meter. */
  block(ms: number): Promise<void>;
  /** Measures the delays of the server during `work`. */
  measure: (work: () => Promise<unknown>) => Promise<Stall>;
  /** Fails if `work` delays the server for longer than `MAX_STALL_MS`. */
  expectNoStall(name: string, work: () => Promise<unknown>): Promise<void>;
}

/**
 * Starts a server in a separate process whose event loop is measured. It ends with the test. Rate limits are off unless
 * `env` sets them.
 */
export async function startMeteredServer(env: Record<string, string> = {}): Promise<MeteredServer> {
  const databaseUrl = env['DATABASE_URL'] ?? (await createTestDatabase());
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--import', './test/support/eventLoopDelay.mjs', 'src/main.ts'],
    {
      env: {
        ...{ PATH: process.env['PATH'], PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'test', LOG_LEVEL: 'error' },
        ...{ AUTH_SECRET, RATE_LIMITS: 'off', MAX_SOCKETS_PER_USER: '1000', DATABASE_URL: databaseUrl },
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  );
  const server = await untilReady(child);
  const probe = new Worker(new URL('probe.mjs', import.meta.url), { workerData: { url: server.url, pid: child.pid } });
  onTestFinished(async () => {
    await probe.terminate();
    await server.end('SIGKILL');
  });

  async function measure(work: () => Promise<unknown>): Promise<Stall> {
    await ask(probe, 'begin');
    await ask(child, 'reset');
    await work().catch(async (error: unknown) => {
      await ask(probe, 'end');
      throw error;
    });
    const probeMs = await ask<number>(probe, 'end');
    return { probeMs, loopMs: await ask<number>(child, 'read') };
  }

  return {
    url: server.url,
    databaseUrl,
    output: server.output,
    measure,
    async block(ms) {
      await ask(child, { blockMs: ms });
    },
    async expectNoStall(name, work) {
      const stall = await measure(work);
      const longest = Math.max(stall.probeMs, stall.loopMs);
      expect(longest, `${name}: held up ${JSON.stringify(stall)}`).toBeLessThan(MAX_STALL_MS);
    },
  };
}

/** Sends a message to the server's process or to the probe, and returns the response. */
async function ask<Answer>(other: ChildProcess | Worker, message: unknown): Promise<Answer> {
  const answered = once(other, 'message') as Promise<[Answer]>;
  if (other instanceof Worker) other.postMessage(message);
  else other.send(message as string);
  const [answer] = await answered;
  return answer;
}
