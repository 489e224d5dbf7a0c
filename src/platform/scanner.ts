import { type FileHandle, open as openFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pLimit from 'p-limit';
import { parseHostPort } from '../core/config/urls.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    /** Null if CLAMAV is not set: files are not scanned. */
    scanner: Scanner | null;
  }
}

/** Result of a scan. `AWAY`: the file could not be scanned and must be scanned again later; `reason` is for the log. */
export type ScanResult =
  | { outcome: 'CLEAN' }
  | { outcome: 'INFECTED'; signature: string }
  | { outcome: 'AWAY'; reason: string };

/** Scans files with clamd, over the INSTREAM command. */
export interface Scanner {
  /**
   * Scans a file. At most four scans run at a time; further ones wait. Does not fail because of clamd.
   *
   * @throws Error if the file cannot be opened
   */
  scan(path: string): Promise<ScanResult>;
  /**
   * Checks that clamd responds.
   *
   * @throws Error with a message for the operator
   */
  check(): Promise<void>;
  /** Aborts running and waiting scans, which end as `AWAY`. */
  close(): void;
}

/** Maximum number of scans at a time on this node. By default, clamd scans ten files at a time. */
const MAX_SCANS = 4;
/** Time limit of a scan in milliseconds. clamd itself stops after 120 s (MaxScanTime). */
const TIMEOUT_MS = 130_000;
/** Time limit of a check in milliseconds. */
const CHECK_TIMEOUT_MS = 5_000;
const CHUNK_BYTES = 65_536;
/** Maximum length of a response in characters. A response is one line. */
const MAX_RESPONSE = 1_024;

/**
 * Creates the scanner of a node.
 *
 * @param address host and port of clamd, or undefined for none
 * @returns null if no clamd is configured
 */
export function createScanner(
  address: string | undefined,
  { timeoutMs = TIMEOUT_MS }: { timeoutMs?: number } = {},
): Scanner | null {
  const clamd = address === undefined ? null : parseHostPort(address);
  if (!clamd) return null;
  const limit = pLimit(MAX_SCANS);
  const closing = new AbortController();
  const open = (ms: number) =>
    connect({ ...clamd, signal: AbortSignal.any([closing.signal, AbortSignal.timeout(ms)]) });
  const failure = (error: unknown) => `clamd at ${clamd.host}:${clamd.port} fails: ${String(error)}`;
  return {
    scan: (path) =>
      limit(async () => {
        const file = await openFile(path);
        try {
          return parse(await exchange(open(timeoutMs), frames(file)));
        } catch (error) {
          return { outcome: 'AWAY', reason: failure(error) };
        } finally {
          await file.close();
        }
      }),
    async check() {
      const response = await exchange(open(CHECK_TIMEOUT_MS), [Buffer.from('zPING\0')]).catch(failure);
      if (response !== 'PONG')
        throw new Error(
          `clamd of CLAMAV does not respond to PING (${response}). Uploaded files are not served until clamd has scanned them. Start clamd, or correct CLAMAV.`,
        );
    },
    close() {
      closing.abort(new Error('The node shuts down.'));
    },
  };
}

/** Sends a command, and returns the response. clamd responds early if a file exceeds its StreamMaxLength. */
async function exchange(socket: Socket, command: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<string> {
  try {
    const sent = pipeline(Readable.from(command), socket, { end: false });
    // If sending fails, so does reading, unless the response has arrived before.
    sent.catch(() => undefined);
    const response = await readResponse(socket);
    return response;
  } finally {
    socket.destroy();
  }
}

/** Returns the command and the frames of the protocol: each has its length in front, and an empty frame is the end. */
async function* frames(file: FileHandle): AsyncGenerator<Buffer> {
  yield Buffer.from('zINSTREAM\0');
  for (;;) {
    const frame = Buffer.alloc(4 + CHUNK_BYTES);
    const { bytesRead } = await file.read(frame, 4, CHUNK_BYTES);
    frame.writeUInt32BE(bytesRead);
    yield frame.subarray(0, 4 + bytesRead);
    if (bytesRead === 0) return;
  }
}

async function readResponse(socket: Socket): Promise<string> {
  let response = '';
  for await (const chunk of socket) {
    response += String(chunk);
    if (response.includes('\0') || response.length > MAX_RESPONSE) break;
  }
  return response.replace(/\0.*$/s, '').slice(0, MAX_RESPONSE);
}

function parse(response: string): ScanResult {
  if (response === 'stream: OK') return { outcome: 'CLEAN' };
  const [, signature] = /^stream: (.+) FOUND$/.exec(response) ?? [];
  if (signature !== undefined) return { outcome: 'INFECTED', signature };
  const advice = response.includes('size limit') ? ' Set StreamMaxLength of clamd to at least MAX_FILE_MB.' : '';
  return { outcome: 'AWAY', reason: `clamd responds ${JSON.stringify(response)}.${advice}` };
}
