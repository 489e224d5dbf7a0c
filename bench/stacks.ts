import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { collect, end, launch } from '../test/faults/processes.ts';
import { startEjabberd } from './ejabberd.ts';
import type { Machine } from './machine.ts';
import { AUTH_SECRET } from './world.ts';

/** A running server, whose CPU time and memory are measured. */
export interface Running {
  url: string;
  pid: number;
  stop(): Promise<void>;
}

export const titles = {
  parley: 'Parley',
  bare: 'bare ws + pg',
  insert: 'bare pg INSERT',
  socketio: 'Socket.IO + pg',
  mercurius: 'Mercurius + pg',
  plain: 'plain Yoga, Pothos, Prisma',
  ejabberd: 'ejabberd',
} as const;

export type StackName = keyof typeof titles;

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Returns true if the packages and programs of a stack are installed. */
export function isInstalled(name: StackName): boolean {
  if (name === 'parley' || name === 'insert') return true;
  if (name === 'ejabberd') return existsSync('/usr/sbin/ejabberdctl');
  return existsSync(here('rivals/node_modules')) && (name !== 'plain' || existsSync(here('rivals/generated')));
}

const START_MS = 30_000;

/** Path of the measured program, and a folder for its CPU profile. Profiling slows it down, so ignore its figures. */
export interface ParleyOptions {
  program: string;
  profile?: string | undefined;
}

/** Token for the metrics of Parley's node, which benchmarks read for its counters. */
export const METRICS_TOKEN = 'Y291bnRlcnMtb2YtdGhlLW5vZGU';

/**
 * Starts one node of a stack. Returns null for a stack without a server.
 *
 * @param options.files folder in which a node of Parley stores files; it stores none by default
 * @param options.rivals folder of bench/rivals with the servers of rivals, by default that folder itself
 */
export async function startStack(
  name: StackName,
  machine: Machine,
  { program, profile, files, rivals = '' }: ParleyOptions & { files?: string | undefined; rivals?: string | undefined },
): Promise<Running | null> {
  switch (name) {
    case 'insert':
      return null;
    case 'ejabberd':
      return startEjabberd(machine);
    case 'parley':
      // Runs the program of `npm start` in production mode.
      return startProcess([...profiling(profile), '--enable-source-maps', program], /HTTP, SSE +(http\S+)\/graphql/, {
        ...{ DATABASE_URL: machine.parleyUrl, REDIS_URL: machine.redisUrl, AUTH_SECRET, METRICS_TOKEN },
        ...{
          PORT: '0',
          HOST: '127.0.0.1',
          PUBLIC_URL: 'https://localhost',
          LOG_LEVEL: 'warn',
          RATE_LIMITS: 'off',
          MAX_SOCKETS_PER_USER: '1000',
          MAX_STREAMS_PER_USER: '100000',
          // All clients have one address, and may connect at the same moment.
          MAX_SIGNED_OUT_SOCKETS: '1000',
          // Several nodes cannot share a disk, and only one benchmark sends files.
          ...(files === undefined ? { FILES: 'off' } : { FILES: 'disk', DATA_DIR: files }),
          // To measure without: SHARED_EXECUTION=off npm run bench -- fanout --stack parley --no-write
          SHARED_EXECUTION: process.env['SHARED_EXECUTION'] ?? 'on',
        },
      });
    default: {
      const args =
        name === 'plain' ? ['--import', 'tsx', here(`rivals/${rivals}plain.ts`)] : [here(`rivals/${rivals}${name}.js`)];
      return startProcess(args, /ready (http\S+)/, { DATABASE_URL: machine.rivalsUrl, REDIS_URL: machine.redisUrl });
    }
  }
}

function profiling(folder: string | undefined): string[] {
  return folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`];
}

async function startProcess(args: string[], ready: RegExp, env: Record<string, string>): Promise<Running> {
  const child = launch(process.execPath, args, { PATH: process.env['PATH'], NODE_ENV: 'production', ...env });
  const output = collect(child);
  const url = await new Promise<string>((resolve, reject) => {
    const fail = () => {
      reject(new Error(`${args.at(-1) ?? ''} did not start:\n${output()}`));
    };
    const timer = setTimeout(fail, START_MS);
    child.once('exit', fail);
    child.stdout?.on('data', () => {
      const [, found] = ready.exec(output()) ?? [];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found.replace('localhost', '127.0.0.1'));
    });
  }).catch(async (error: unknown) => {
    await end(child, 'SIGKILL');
    throw error;
  });
  return {
    url,
    pid: child.pid ?? 0,
    // Kills the server, because nothing needs draining. A profile is only written at a regular exit.
    stop: async () => void (await end(child, args[0] === '--cpu-prof' ? 'SIGTERM' : 'SIGKILL')),
  };
}
