import type { Client } from './client.ts';
import { type LeanSocket, openSocket, type OnText } from './socket.ts';

const FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing';
const OPEN = `<open xmlns="${FRAMING}" to="localhost" version="1.0"/>`;
const jid = (room: number) => `room-${room}@conference.localhost`;

/** An occupant of a room. The server acknowledges a message by returning it to its sender. */
interface Occupant {
  socket: LeanSocket;
  send: (room: number, body: string) => Promise<void>;
}

/** Occupants by user. They also send over this connection, because in XMPP each occupant receives everything. */
const occupants = new Map<number, Promise<Occupant>>();
let count = 0;

/** A client for XMPP over WebSocket (RFC 7395) and multi-user chat (XEP-0045). */
export const ejabberdClient: Client = {
  async listen(url, user, room, onText) {
    const occupant = enter(url, user, room, onText);
    occupants.set(user, occupant);
    return (await occupant).socket;
  },
  async openSender(_url, user) {
    const occupant = await occupants.get(user);
    if (!occupant) throw new Error('A sender must be an occupant of the room.');
    return { send: occupant.send, close: () => undefined };
  },
};

async function enter(url: string, user: number, room: number, onText: OnText): Promise<Occupant> {
  const own = `ack-${(count += 1)}-`;
  const waiting = new Map<string, () => void>();
  let next = 0;
  let until: { text: string; resolve: () => void } | null = null;
  const socket = await openSocket(`${url.replace('http', 'ws')}/ws`, {
    protocol: 'xmpp',
    onText(bytes, start, end) {
      if (until) {
        if (!bytes.toString('utf8', start, end).includes(until.text)) return;
        const { resolve } = until;
        until = null;
        resolve();
        return;
      }
      onText(bytes, start, end);
      if (waiting.size === 0) return;
      const at = bytes.indexOf(own, start);
      if (at < 0 || at >= end) return;
      const id = /^[\w-]+/.exec(bytes.toString('latin1', at, at + 40))?.[0] ?? '';
      waiting.get(id)?.();
      waiting.delete(id);
    },
  });
  const say = (stanza: string, answer: string) =>
    Promise.race([
      new Promise<void>((resolve) => {
        until = { text: answer, resolve };
        socket.send(stanza);
      }),
      socket.closed.then((why) => Promise.reject(new Error(`${stanza}: ${why}`))),
    ]);
  await say(OPEN, '<mechanism>');
  await say('<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>', '<success');
  await say(OPEN, 'urn:ietf:params:xml:ns:xmpp-bind');
  await say('<iq type="set" id="bind"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>', '<jid>');
  const muc = '<x xmlns="http://jabber.org/protocol/muc"><history maxstanzas="0"/></x>';
  await say(`<presence to="${jid(room)}/user-${user}">${muc}</presence>`, '<subject');
  return {
    socket,
    send: (to, body) =>
      new Promise((resolve) => {
        const id = `${own}${(next += 1)}`;
        waiting.set(id, resolve);
        socket.send(`<message type="groupchat" id="${id}" to="${jid(to)}"><body>${body}</body></message>`);
      }),
  };
}
