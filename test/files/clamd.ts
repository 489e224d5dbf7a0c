import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished } from 'vitest';
import { findProgram } from '../support/programs.ts';
import { freePort } from '../support/ports.ts';

export const clamd = findProgram('clamd');

/** The harmless text that every scanner reports. It is split, so that no scanner reports this file. */
export const EICAR = ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$', 'EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'].join('');

export interface TestClamd {
  address: string;
  /** Kills the daemon's process, or freezes and wakes it. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void;
}

/**
 * Starts a clamd for the current test, on a free port, with one signature: that of the EICAR text.
 *
 * @param settings further lines of its configuration
 */
export async function startClamd(...settings: string[]): Promise<TestClamd> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-clamd-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755);
  const port = await freePort();
  await writeFile(join(folder, 'eicar.ndb'), `Parley.Eicar:0:*:${Buffer.from(EICAR).toString('hex')}\n`);
  const config = join(folder, 'clamd.conf');
  await writeFile(
    config,
    [
      ...['Foreground yes', `DatabaseDirectory ${folder}`, `TemporaryDirectory ${folder}`],
      ...['TCPAddr 127.0.0.1', `TCPSocket ${port}`, 'OfficialDatabaseOnly no', ...settings, ''],
    ].join('\n'),
  );
  const daemon = spawn(clamd ?? '', ['--config-file', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(daemon, 'exit');
  const output = Promise.all([text(daemon.stdout), text(daemon.stderr)]);
  onTestFinished(async () => {
    daemon.kill('SIGKILL');
    await exited;
  });
  const ended = exited.then(async () => {
    throw new Error(`clamd ended: ${(await output).join('\n')}`);
  });
  await Promise.race([ended, expect.poll(() => ping(port)).toBe('PONG\0')]);
  ended.catch(() => undefined);
  return { address: `127.0.0.1:${port}`, signal: (signal) => daemon.kill(signal) };
}

async function ping(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write('zPING\0');
  return text(socket).catch(() => '');
}
