// A chat page by hand, over Socket.IO with its Redis adapter and `pg`: messages, unread counts, read marks, "seen by all".
import { createServer } from 'node:http';
import process from 'node:process';
import { createAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import pg from 'pg';
import { Server } from 'socket.io';
import { COUNT_UNREAD, MARK_READ, READ_BY_ALL, SENDERS } from './statements.js';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const publisher = new Redis(process.env.REDIS_URL);
const server = createServer();
const io = new Server(server, {
  adapter: createAdapter(publisher, publisher.duplicate()),
  transports: ['websocket'],
});
/** Last message of each room that all members have read, as far as the senders know. Lost at a restart. */
const readByAll = new Map();

const query = async (name, text, ...values) => (await pool.query({ name, text, values })).rows;

io.use(async (socket, next) => {
  const [user] = await query(
    'user',
    'SELECT id, username, nickname FROM users WHERE id = $1',
    socket.handshake.auth.user,
  );
  if (!user) return next(new Error('unknown user'));
  socket.data.user = user;
  next();
});

const isMember = async (room, user) =>
  (await query('member', 'SELECT 1 FROM members WHERE room_id = $1 AND user_id = $2', room, user)).length > 0;

const ROOMS = `
  SELECT r.id, r.name, m.unread FROM members m JOIN rooms r ON r.id = m.room_id WHERE m.user_id = $1`;
const HISTORY = `
  SELECT m.id, m.room_id, m.body, m.created_at, m.sender_id, u.username, u.nickname
    FROM messages m JOIN users u ON u.id = m.sender_id WHERE m.room_id = $1 ORDER BY m.id DESC LIMIT $2`;
const SEND = `
  INSERT INTO messages (room_id, sender_id, body)
    SELECT $1, $2, $3 WHERE EXISTS (SELECT FROM members WHERE room_id = $1 AND user_id = $2)
    RETURNING id, created_at`;

async function emitSeen(room) {
  const [{ upTo }] = await query('readByAll', READ_BY_ALL, room);
  const before = readByAll.get(room);
  if (before !== undefined && BigInt(upTo) <= BigInt(before)) return;
  readByAll.set(room, upTo);
  if (before === undefined) return;
  for (const { senderId } of await query('senders', SENDERS, room, before, upTo))
    io.to(`user:${senderId}`).emit('seen', { room, upTo });
}

io.on('connection', (socket) => {
  const { user } = socket.data;
  socket.on('open', async ({ room, last }, answer) => {
    if (!(await isMember(room, user.id))) return answer({ error: 'NOT_FOUND' });
    await socket.join([`room:${room}`, `user:${user.id}`]);
    const rooms = await query('rooms', ROOMS, user.id);
    answer({ rooms, messages: await query('history', HISTORY, room, last) });
  });
  socket.on('send', async ({ room, body }, answer) => {
    const [stored] = await query('send', SEND, room, user.id, body);
    if (!stored) return answer({ error: 'NOT_FOUND' });
    const message = { id: stored.id, roomId: room, body, createdAt: stored.created_at, sender: user };
    io.to(`room:${room}`).emit('message', message);
    // Acknowledged after the counts are stored, because a crash before would leave them wrong for ever.
    const counts = await query('countUnread', COUNT_UNREAD, room, user.id);
    answer({ id: message.id, createdAt: message.createdAt });
    for (const member of counts)
      io.to(`user:${member.user_id}`).emit('unread', { room, unread: member.unread, message });
  });
  socket.on('mark', async ({ room, message }, answer) => {
    const [marked] = await query('markRead', MARK_READ, room, user.id, message);
    answer({});
    if (!marked) return;
    io.to(`user:${user.id}`).emit('unread', { room, unread: marked.unread });
    io.to(`room:${room}`).emit('marked', { user: user.id, lastRead: message });
    await emitSeen(room);
  });
});

server.listen(0, '127.0.0.1', () => console.log(`ready http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
