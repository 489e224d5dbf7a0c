import { connect, type Socket } from 'node:net';

/** A persistent connection for one request at a time, as cheap as the WebSocket of socket.ts. */
export interface LeanHttp {
  /** Sends a request and returns the body. Rejects for any status other than 200. */
  request(method: 'GET' | 'POST', path: string, body?: string): Promise<string>;
  close: () => void;
}

/** Maximum idle time in milliseconds. Servers close idle connections after 5 s, which would lose a request in flight. */
const MAX_IDLE_MS = 3_000;

/** Creates a client that connects on the first request. Each request has these headers. */
export function openHttp(url: string, headers: Record<string, string>): LeanHttp {
  const { hostname, port } = new URL(url);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `host: ${hostname}:${port}\r\ncontent-type: application/json\r\n${lines.join('')}`;
  let socket: Socket | null = null;
  let received: Buffer = Buffer.alloc(0);
  let answeredAt = 0;
  let pending: { resolve: (body: string) => void; reject: (error: Error) => void } | null = null;

  function open(): Socket {
    const opened = connect({ host: hostname, port: Number(port), noDelay: true });
    received = Buffer.alloc(0);
    const lose = (error: Error) => {
      // A newer connection has replaced this one.
      if (socket !== opened) return;
      socket = null;
      pending?.reject(error);
      pending = null;
    };
    opened.on('error', lose);
    const onEnd = () => {
      lose(new Error('The server closed the connection.'));
      opened.destroy();
    };
    opened.on('end', onEnd);
    opened.on('close', onEnd);
    opened.on('data', read);
    return opened;
  }

  function read(chunk: Buffer): void {
    received = received.length > 0 ? Buffer.concat([received, chunk]) : chunk;
    const end = received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const text = received.toString('latin1', 0, end);
    const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
    const whole = end + 4 + Number(length ?? 0);
    if (received.length < whole) return;
    const body = received.toString('utf8', end + 4, whole);
    received = Buffer.from(received.subarray(whole));
    const asked = pending;
    pending = null;
    answeredAt = performance.now();
    if (length === undefined) asked?.reject(new Error(`The response has no Content-Length:\n${text}`));
    else if (text.startsWith('HTTP/1.1 200')) asked?.resolve(body);
    else asked?.reject(new Error(`${text.split('\r\n', 1)[0] ?? ''} ${body.slice(0, 300)}`));
  }

  return {
    request(method, path, body = '') {
      return new Promise((resolve, reject) => {
        if (socket && performance.now() - answeredAt > MAX_IDLE_MS) {
          socket.destroy();
          socket = null;
        }
        socket ??= open();
        pending = { resolve, reject };
        const length = body === '' ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`;
        socket.write(`${method} ${path} HTTP/1.1\r\n${head}${length}\r\n${body}`);
      });
    },
    close: () => socket?.destroy(),
  };
}
