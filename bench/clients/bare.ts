import type { Client } from './client.ts';
import { openHttp } from './http.ts';
import { type LeanSocket, openSocket, type OnText } from './socket.ts';

export const bareClient: Client = {
  listen: (url, user, room, onText) => join(url, user, { join: room }, onText),
  openSender(url, user) {
    const http = openHttp(url, { authorization: String(user) });
    return Promise.resolve({
      async send(room, body) {
        await http.request('POST', '/', JSON.stringify({ room, body }));
      },
      close: http.close,
    });
  },
};

/** Joins a room, and first receives the messages after the message `after`. */
export function resumeAtBare(
  url: string,
  user: number,
  resume: { room: number; after: string },
  onText: OnText,
): Promise<LeanSocket> {
  return join(url, user, { join: resume.room, after: resume.after }, onText);
}

async function join(url: string, user: number, request: object, onText: OnText): Promise<LeanSocket> {
  const socket = await openSocket(url.replace('http', 'ws'), { headers: { authorization: String(user) }, onText });
  socket.send(JSON.stringify(request));
  return socket;
}
