import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A WebSocket client that controls when it reads. */
export interface RawSocket {
  connection: Socket;
  /** Writes bytes. Resolves to false if the server does not read them within a second. */
  write: (bytes: Buffer) => Promise<boolean>;
}

/** Opens a WebSocket, without `connection_init`. */
export async function openRaw(url: string): Promise<RawSocket> {
  const { port } = new URL(url);
  const connection = connect(Number(port), '127.0.0.1');
  connection.on('error', () => undefined);
  onTestFinished(() => void connection.destroy());
  await once(connection, 'connect');
  connection.write(
    `GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
      'Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n',
  );
  await once(connection, 'data');
  return {
    connection,
    write(bytes) {
      if (connection.destroyed) return Promise.resolve(false);
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, 1_000, false);
        connection.write(bytes, (error) => {
          clearTimeout(timer);
          resolve(!error);
        });
      });
    },
  };
}

/** Opens a WebSocket, signed in or signed out, and stops reading once it is acknowledged. */
export async function openDeaf(url: string, accessToken?: string): Promise<RawSocket> {
  const socket = await openRaw(url);
  const payload = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` };
  socket.connection.write(textFrame({ type: 'connection_init', payload }));
  await once(socket.connection, 'data');
  socket.connection.pause();
  return socket;
}

/** Encodes a message of graphql-transport-ws as a client frame. */
export function textFrame(message: object): Buffer {
  return frame(0x1, JSON.stringify(message));
}

/** Encodes a client frame with a mask of zeros. */
export function frame(opcode: number, text: string): Buffer {
  const payload = Buffer.from(text);
  const { length } = payload;
  const head = length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 255] : [127, 0, 0, 0, 0];
  head[0] = (head[0] ?? 0) | 0x80;
  if (length >= 65_536) head.push(length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255);
  return Buffer.concat([Buffer.from([0x80 | opcode, ...head, 0, 0, 0, 0]), payload]);
}
