import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished } from 'vitest';
import { untilReady } from './process.ts';
import { AUTH_SECRET, createTestDatabase } from './server.ts';

/** How long one client's input may keep the others waiting. */
export const MAX_STALL_MS = 250;
/** A busy machine delays a process now and then, a hostile input each time. */
const ATTEMPTS = 4;

/** How long a server was held up, in milliseconds. */
export interface Stall {
  /** The longest time for which another client, who asks `{ __typename }` again and again, waited. */
  probeMs: number;
  /** The longest delay of the event loop in the server's process. */
  loopMs: number;
  /** How long the server computed meanwhile. It cannot have been held up by its own work for longer. */
  cpuMs: number;
}

export interface MeteredServer {
  url: string;
  databaseUrl: string;
  /** What it has printed so far. */
  output: () => string;
  /** Stalls the server itself, to test the meter. */
  block(ms: number): Promise<void>;
  /** Measures how long the server is held up while something is done. */
  measure: (work: () => Promise<unknown>) => Promise<Stall>;
  /** Fails if what is done holds the server up for longer than `MAX_STALL_MS`, in each of four attempts. */
  expectNoStall(name: string, work: () => Promise<unknown>): Promise<void>;
}

/**
 * Starts a server in a process of its own, whose event loop is measured; it ends with the test. Limits on rates are off
 * unless `env` sets them.
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
  const probe = new Worker(new URL('probe.mjs', import.meta.url), { workerData: { url: server.url } });
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
    return { probeMs, ...(await ask<Omit<Stall, 'probeMs'>>(child, 'read')) };
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
      let best = { probeMs: Infinity, loopMs: Infinity, cpuMs: Infinity };
      for (let attempt = 0; attempt < ATTEMPTS && lengthOf(best) >= MAX_STALL_MS; attempt += 1) {
        const stall = await measure(work);
        if (lengthOf(stall) < lengthOf(best)) best = stall;
      }
      expect(lengthOf(best), `${name}: held up ${JSON.stringify(best)}`).toBeLessThan(MAX_STALL_MS);
    },
  };
}

/** On a busy machine a process waits for a core, which is not its fault: time in which it computed nothing is no stall. */
function lengthOf({ probeMs, loopMs, cpuMs }: Stall): number {
  return Math.min(Math.max(probeMs, loopMs), cpuMs);
}

/** Sends a message to the server's process or to the probe, and returns what comes back. */
async function ask<Answer>(other: ChildProcess | Worker, message: unknown): Promise<Answer> {
  const answered = once(other, 'message') as Promise<[Answer]>;
  if (other instanceof Worker) other.postMessage(message);
  else other.send(message as string);
  const [answer] = await answered;
  return answer;
}
