import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/**
 * A minimal WebSocket client, so that the load process costs little. It reads frames in place, and only accepts unmasked,
 * unfragmented frames.
 */
export interface LeanSocket {
  send(text: string): void;
  close: () => void;
  /** Resolves to the close code or error message. Never rejects. */
  closed: Promise<string>;
}

/** Called with the position of each text frame in `bytes`, which are only valid during the call. */
export type OnText = (bytes: Buffer, start: number, end: number) => void;

const TEXT = 1;
const CLOSE = 8;
const PING = 9;

/** Opens a WebSocket. Rejects if the server does not upgrade the connection. */
export async function openSocket(
  url: string,
  options: { protocol?: string; headers?: Record<string, string>; onText: OnText },
): Promise<LeanSocket> {
  const { hostname, port, pathname, search } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let onClosed: (why: string) => void = () => undefined;
  const closed = new Promise<string>((resolve) => (onClosed = resolve));
  socket.once('error', (error) => {
    onClosed(error.message);
  });
  socket.once('close', () => {
    onClosed('the connection ended');
  });
  const headers = {
    ...{ host: `${hostname}:${port}`, upgrade: 'websocket', connection: 'Upgrade' },
    ...{ 'sec-websocket-version': '13', 'sec-websocket-key': randomBytes(16).toString('base64') },
    ...(options.protocol ? { 'sec-websocket-protocol': options.protocol } : {}),
    ...options.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);

  const first = await Promise.race([readHead(socket), closed.then((why) => Promise.reject(new Error(why)))]);
  let rest: Buffer = first;
  const read = (chunk: Buffer) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    for (;;) {
      const frame = frameAt(bytes, at);
      if (!frame) break;
      const { opcode, start, end } = frame;
      if (opcode === TEXT) options.onText(bytes, start, end);
      else if (opcode === PING) write(socket, 10, bytes.subarray(start, end));
      else if (opcode === CLOSE) {
        onClosed(`closed with ${end - start >= 2 ? bytes.readUInt16BE(start) : 'no code'}`);
        socket.destroy();
      }
      at = end;
    }
    rest = at === bytes.length ? EMPTY : Buffer.from(bytes.subarray(at));
  };
  socket.on('data', read);
  if (first.length > 0) {
    rest = EMPTY;
    read(first);
  }
  return {
    send: (text) => {
      write(socket, TEXT, Buffer.from(text));
    },
    close: () => socket.destroy(),
    closed,
  };
}

const EMPTY = Buffer.alloc(0);

/** Reads the response to the upgrade request. Returns the bytes after it. */
async function readHead(socket: Socket): Promise<Buffer> {
  let head: Buffer = EMPTY;
  return new Promise((resolve, reject) => {
    socket.on('data', function onData(chunk: Buffer) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onData);
      const [status = ''] = head.toString('latin1', 0, end).split('\r\n', 1);
      if (status.includes(' 101 ')) resolve(head.subarray(end + 4));
      else reject(new Error(`The server answered ${status}`));
    });
  });
}

/** Returns the frame that begins at `at`, or null if it is incomplete. */
function frameAt(bytes: Buffer, at: number): { opcode: number; start: number; end: number } | null {
  if (bytes.length < at + 2) return null;
  const [first = 0, second = 0] = [bytes[at], bytes[at + 1]];
  if ((first & 0x80) === 0 || (second & 0x80) !== 0) throw new Error('The server sent a masked or fragmented frame.');
  let [length, start] = [second & 0x7f, at + 2];
  if (length === 126) {
    if (bytes.length < at + 4) return null;
    [length, start] = [bytes.readUInt16BE(at + 2), at + 4];
  } else if (length === 127) {
    if (bytes.length < at + 10) return null;
    [length, start] = [Number(bytes.readBigUInt64BE(at + 2)), at + 10];
  }
  const end = start + length;
  return end > bytes.length ? null : { opcode: first & 0x0f, start, end };
}

/** Writes a frame with a mask of zeros. The protocol requires a mask, which only matters for proxies. */
function write(socket: Socket, opcode: number, payload: Buffer): void {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 6 : 8);
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | (length < 126 ? length : 126);
  if (length >= 126) head.writeUInt16BE(length, 2);
  socket.write(Buffer.concat([head, payload]));
}
