import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createScanner, type Scanner } from '../../src/platform/scanner.ts';
import { freePort } from '../support/ports.ts';
import { clamd, EICAR, startClamd } from './clamd.ts';
import { writeTemporary, zip } from './inputs.ts';

function scannerAt(address: string, options?: { timeoutMs?: number }): Scanner {
  const scanner = createScanner(address, options)!;
  onTestFinished(() => {
    scanner.close();
  });
  return scanner;
}

/** Starts a server that treats each connection as `onConnection` does. Returns its address. */
async function listen(onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    onConnection(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe.skipIf(!clamd)('with clamd', () => {
  test('infected files are found, also in archives and behind megabytes', async () => {
    const scanner = scannerAt((await startClamd()).address);
    const infected = { outcome: 'INFECTED', signature: 'Parley.Eicar.UNOFFICIAL' };
    expect(await scanner.scan(await writeTemporary(EICAR))).toEqual(infected);
    expect(await scanner.scan(await writeTemporary(zip({ 'a.txt': 'hello', 'b.com': EICAR })))).toEqual(infected);
    const large = Buffer.concat([Buffer.alloc(3_000_000, 'abc'), Buffer.from(EICAR)]);
    expect(await scanner.scan(await writeTemporary(large))).toEqual(infected);
  });

  test('clean and empty files are clean', async () => {
    const scanner = scannerAt((await startClamd()).address);
    for (const bytes of ['hello', '', Buffer.alloc(65_536), Buffer.alloc(3_000_000, 'abc')]) {
      expect(await scanner.scan(await writeTemporary(bytes))).toEqual({ outcome: 'CLEAN' });
    }
  });

  test('twenty scans at a time end with the result of their own file', async () => {
    const scanner = scannerAt((await startClamd()).address);
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const path = await writeTemporary(index % 3 === 0 ? `${index} ${EICAR}` : `${index}`);
        return (await scanner.scan(path)).outcome;
      }),
    );
    expect(outcomes).toEqual(Array.from({ length: 20 }, (_, index) => (index % 3 === 0 ? 'INFECTED' : 'CLEAN')));
  });

  test('a file larger than clamd accepts is not clean', async () => {
    const scanner = scannerAt((await startClamd('StreamMaxLength 1M')).address);
    const { outcome } = await scanner.scan(await writeTemporary(Buffer.alloc(3_000_000, 'abc')));
    expect(outcome).toBe('AWAY');
  });

  test('a clamd that is killed, frozen or away scans nothing, and later again', async () => {
    const daemon = await startClamd();
    const path = await writeTemporary('hello');
    daemon.signal('SIGSTOP');
    expect(await scannerAt(daemon.address, { timeoutMs: 300 }).scan(path)).toMatchObject({ outcome: 'AWAY' });
    daemon.signal('SIGCONT');
    const scanner = scannerAt(daemon.address);
    expect(await scanner.scan(path)).toEqual({ outcome: 'CLEAN' });
    daemon.signal('SIGKILL');
    await expect.poll(async () => (await scanner.scan(path)).outcome).toBe('AWAY');
  });
});

test('without CLAMAV there is no scanner', () => {
  expect(createScanner(undefined)).toBeNull();
});

test('an address without clamd says so', async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const result = await scannerAt(address).scan(await writeTemporary('hello'));
  expect(result).toEqual({ outcome: 'AWAY', reason: expect.stringMatching(`clamd at ${address} .*ECONNREFUSED`) });
});

test.each([
  ['nothing', (socket: Socket) => socket.end(), /responds ""/],
  ['a reset', (socket: Socket) => socket.resetAndDestroy(), /ECONNRESET|EPIPE/],
  ['something else', (socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), /responds "HTTP/],
  ['an error', (socket: Socket) => socket.end('stream: lstat() failed. ERROR\0'), /failed\. ERROR/],
  ['its size limit', (socket: Socket) => socket.end('INSTREAM size limit exceeded. ERROR\0'), /Set StreamMaxLength/],
  ['no end', (socket: Socket) => socket.write('x'.repeat(100_000)), /responds "x{1024}"/],
])('a server that responds with %s is away', async (_, respond, reason) => {
  const address = await listen(respond);
  const result = await scannerAt(address).scan(await writeTemporary(Buffer.alloc(1_000_000)));
  expect(result).toEqual({ outcome: 'AWAY', reason: expect.stringMatching(reason) });
});

test('a silent server is away after the time limit, and on closing', async () => {
  const silent = await listen((socket) => socket.resume());
  const path = await writeTemporary('hello');
  expect(await scannerAt(silent, { timeoutMs: 100 }).scan(path)).toMatchObject({ outcome: 'AWAY' });
  const scanner = scannerAt(silent);
  const scans = Array.from({ length: 6 }, () => scanner.scan(path));
  scanner.close();
  expect((await Promise.all(scans)).map(({ outcome }) => outcome)).toEqual(Array(6).fill('AWAY'));
});

test('a file that cannot be read fails its scan', async () => {
  await expect(scannerAt('127.0.0.1:1').scan('/nowhere/upload')).rejects.toThrow('ENOENT');
});
