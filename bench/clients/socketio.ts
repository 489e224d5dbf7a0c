import type { Client } from './client.ts';
import { type LeanSocket, openSocket, type OnText } from './socket.ts';

/** A minimal client for Socket.IO's protocol (Engine.IO 4). Sends with acknowledgements, as applications do. */
export const socketioClient: Client = {
  async listen(url, user, room, onText) {
    const { socket, emit } = await openSocketIO(url, user, onText);
    await emit('join', room);
    return socket;
  },
  async openSender(url, user) {
    const { socket, emit } = await openSocketIO(url, user, () => undefined);
    return { send: (room, body) => emit('send', { room, body }), close: socket.close };
  },
};

/** Opens a socket. `emit` resolves when the server has acknowledged the event. */
export async function openSocketIO(
  url: string,
  user: number,
  onText: OnText,
): Promise<{ socket: LeanSocket; emit: (name: string, data: unknown) => Promise<void> }> {
  const waiting = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
  let next = 0;
  let onConnected: () => void = () => undefined;
  const connected = new Promise<void>((resolve) => (onConnected = resolve));
  const socket = await openSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`, {
    onText(bytes, start, end) {
      const [kind, type] = [String.fromCharCode(bytes[start] ?? 0), String.fromCharCode(bytes[start + 1] ?? 0)];
      if (kind === '4' && type === '2') onText(bytes, start, end);
      else if (kind === '2') socket.send('3');
      else if (kind === '0')
        setImmediate(() => {
          socket.send(`40${JSON.stringify({ user })}`);
        });
      else if (kind === '4' && type === '0') onConnected();
      else if (kind === '4' && type === '3') {
        const [, id = '', answer = ''] = /^43(\d+)(.*)$/.exec(bytes.toString('utf8', start, end)) ?? [];
        const asked = waiting.get(id);
        waiting.delete(id);
        if (answer.includes('"error"')) asked?.reject(new Error(answer));
        else asked?.resolve();
      }
    },
  });
  void socket.closed.then((why) => {
    for (const { reject } of waiting.values()) reject(new Error(why));
  });
  await Promise.race([connected, socket.closed.then((why) => Promise.reject(new Error(why)))]);
  return {
    socket,
    emit: (name, data) =>
      new Promise((resolve, reject) => {
        const id = String((next += 1));
        waiting.set(id, { resolve, reject });
        socket.send(`42${id}${JSON.stringify([name, data])}`);
      }),
  };
}
