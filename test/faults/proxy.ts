import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy that fails on command. Both sides are unaware of it. */
export interface Proxy {
  port: number;
  /** Sets the target of new connections. Existing connections stay. */
  aim(port: number, host?: string): void;
  /** Stops reading in both directions. Data in transit waits, and arrives after `resume`. */
  pause(): void;
  resume(): void;
  /** Ends all connections with a RST. */
  reset(): void;
  /** Accepts connections but forwards nothing, on existing ones either. `resume` then ends them. */
  blackhole(): void;
  /** Resets each existing connection after the given number of further bytes from the server. */
  cutAfter(bytes: number): void;
  /** Delays all data by the given time in milliseconds. */
  delay(ms: number): void;
  close(): void;
}

interface Pair {
  client: Socket;
  server: Socket | null;
  /** Number of bytes that the server may still send, or null for no limit. */
  left: number | null;
}

export async function startProxy(targetPort = 0, targetHost = '127.0.0.1'): Promise<Proxy> {
  let target = { port: targetPort, host: targetHost };
  let mode: 'open' | 'paused' | 'blackhole' = 'open';
  let latency = 0;
  const pairs = new Set<Pair>();

  function kill(pair: Pair): void {
    pairs.delete(pair);
    // A closing socket can no longer be reset, and would stay open forever.
    for (const socket of [pair.client, pair.server])
      if (socket?.writableEnded) socket.destroy();
      else socket?.resetAndDestroy();
  }

  /** Forwards data in order, with backpressure from the receiving side. */
  function forward(pair: Pair, from: Socket, to: Socket): void {
    const waiting: { chunk: Buffer; due: number }[] = [];
    let timer: NodeJS.Timeout | null = null;

    function flush(): void {
      timer = null;
      for (let first = waiting[0]; first && first.due <= performance.now(); first = waiting[0]) {
        waiting.shift();
        write(first.chunk);
      }
      if (waiting[0]) timer ??= setTimeout(flush, waiting[0].due - performance.now());
    }
    function write(chunk: Buffer): void {
      if (to.destroyed || to.write(chunk)) return;
      from.pause();
      to.once('drain', () => mode === 'open' && from.resume());
    }
    from.on('data', (chunk: Buffer) => {
      if (from === pair.server && pair.left !== null) {
        pair.left -= chunk.length;
        if (pair.left <= 0) {
          // The remaining bytes must be flushed before the RST, which would overtake them.
          to.write(chunk.subarray(0, chunk.length + pair.left), () => {
            kill(pair);
          });
          return;
        }
      }
      if (latency === 0 && waiting.length === 0) write(chunk);
      else {
        waiting.push({ chunk, due: performance.now() + latency });
        timer ??= setTimeout(flush, latency);
      }
    });
    from.on('error', () => {
      kill(pair);
    });
    from.on('close', () => {
      to.end();
      // The socket must be read to its end, or the end would go unnoticed.
      if (mode === 'open') to.resume();
      if (to.destroyed) pairs.delete(pair);
    });
    if (mode !== 'open') from.pause();
  }

  const listener = createServer((client) => {
    client.setNoDelay();
    const pair: Pair = { client, server: null, left: null };
    pairs.add(pair);
    client.on('error', () => {
      kill(pair);
    });
    if (mode === 'blackhole') return;
    const server = connect(target).setNoDelay();
    pair.server = server;
    forward(pair, client, server);
    forward(pair, server, client);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');

  function setMode(next: typeof mode): void {
    const before = mode;
    mode = next;
    for (const pair of [...pairs]) {
      // Data swallowed by a black hole never arrives, so such a connection is useless.
      if (before === 'blackhole') kill(pair);
      for (const socket of [pair.client, pair.server]) {
        if (next === 'open') socket?.resume();
        else socket?.pause();
      }
    }
  }

  return {
    port: (listener.address() as AddressInfo).port,
    aim(port, host = '127.0.0.1') {
      target = { port, host };
    },
    pause() {
      setMode('paused');
    },
    resume() {
      setMode('open');
    },
    reset() {
      for (const pair of [...pairs]) kill(pair);
    },
    blackhole() {
      setMode('blackhole');
    },
    cutAfter(bytes) {
      for (const pair of pairs) pair.left = bytes;
    },
    delay(ms) {
      latency = ms;
    },
    close() {
      listener.close();
      for (const pair of [...pairs]) kill(pair);
    },
  };
}
