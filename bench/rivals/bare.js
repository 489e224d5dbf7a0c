// The minimal server that stores and delivers: `ws` and `pg`, one statement per send, one text for all sockets of a room.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import process from 'node:process';
import { URL } from 'node:url';
import { Redis } from 'ioredis';
import pg from 'pg';
import { WebSocketServer } from 'ws';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const publisher = new Redis(process.env.REDIS_URL);
const subscriber = new Redis(process.env.REDIS_URL);
const self = randomUUID();
/** Sockets of this node by room. */
const rooms = new Map();

const SEND = `
  WITH stored AS (
    INSERT INTO messages (room_id, sender_id, body)
      SELECT $1, $2, $3 WHERE EXISTS (SELECT FROM members WHERE room_id = $1 AND user_id = $2)
      RETURNING id, room_id, sender_id, body, created_at
  )
  SELECT s.*, u.username, u.nickname FROM stored s JOIN users u ON u.id = s.sender_id`;
const COLUMNS = 'm.id, m.room_id, m.sender_id, m.body, m.created_at, u.username, u.nickname';
const PAGE = `
  SELECT ${COLUMNS} FROM messages m JOIN users u ON u.id = m.sender_id
    WHERE m.room_id = $1 AND m.id < $3 AND EXISTS (SELECT FROM members WHERE room_id = $1 AND user_id = $2)
    ORDER BY m.id DESC LIMIT 50`;
const MISSED = `
  SELECT ${COLUMNS} FROM messages m JOIN users u ON u.id = m.sender_id WHERE m.room_id = $1 AND m.id > $2 ORDER BY m.id`;

await subscriber.subscribe('messages');
subscriber.on('message', (_channel, text) => {
  const { from, message } = JSON.parse(text);
  if (from !== self) deliver(message);
});

function shape({ id, room_id: roomId, sender_id: senderId, body, created_at: createdAt, username, nickname }) {
  return { id, roomId, body, createdAt, sender: { id: senderId, username, nickname } };
}

function deliver(message) {
  const text = JSON.stringify({ type: 'message', message });
  for (const socket of rooms.get(message.roomId) ?? []) socket.send(text);
}

async function send(userId, { room, body }) {
  const { rows } = await pool.query({ name: 'send', text: SEND, values: [room, userId, body] });
  if (!rows[0]) return null;
  const message = shape(rows[0]);
  deliver(message);
  publisher.publish('messages', JSON.stringify({ from: self, message })).catch(() => undefined);
  return message;
}

async function page(userId, url) {
  const { searchParams } = new URL(url, 'http://localhost');
  const values = [searchParams.get('room'), userId, searchParams.get('before') ?? Number.MAX_SAFE_INTEGER];
  const { rows } = await pool.query({ name: 'page', text: PAGE, values });
  return rows.reverse().map(shape);
}

const server = createServer((request, response) => {
  const userId = Number(request.headers.authorization);
  const answer = (work) =>
    work.then(
      (result) => {
        const text = JSON.stringify(result);
        const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
        response.writeHead(result === null ? 404 : 200, headers).end(text);
      },
      () => response.writeHead(500).end(),
    );
  if (request.method === 'GET') return void answer(page(userId, request.url));
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => void answer(send(userId, JSON.parse(Buffer.concat(chunks).toString()))));
});

const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket, request) => {
  const userId = Number(request.headers.authorization);
  socket.on('message', async (data) => {
    const { join, after } = JSON.parse(data.toString());
    const { rowCount } = await pool.query({
      ...{ name: 'member', text: 'SELECT FROM members WHERE room_id = $1 AND user_id = $2', values: [join, userId] },
    });
    if (rowCount === 0) return socket.send('{"type":"refused"}');
    if (after !== undefined) {
      // A message between this query and the join is lost. The bare server does not prevent this race.
      const { rows } = await pool.query({ name: 'missed', text: MISSED, values: [join, after] });
      for (const row of rows) socket.send(JSON.stringify({ type: 'message', message: shape(row) }));
    }
    const room = rooms.get(join) ?? rooms.set(join, new Set()).get(join);
    room.add(socket);
    socket.once('close', () => room.delete(socket));
    socket.send('{"type":"joined"}');
  });
});

server.listen(0, '127.0.0.1', () => console.log(`ready http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
