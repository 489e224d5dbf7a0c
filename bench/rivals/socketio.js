// Socket.IO with its Redis adapter, as in its documentation, and `pg`.
import { createServer } from 'node:http';
import process from 'node:process';
import { createAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import pg from 'pg';
import { Server } from 'socket.io';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const publisher = new Redis(process.env.REDIS_URL);
const server = createServer();
const io = new Server(server, {
  adapter: createAdapter(publisher, publisher.duplicate()),
  transports: ['websocket'],
});

io.use(async (socket, next) => {
  const { rows } = await pool.query({
    ...{ name: 'user', text: 'SELECT id, username, nickname FROM users WHERE id = $1' },
    values: [socket.handshake.auth.user],
  });
  if (!rows[0]) return next(new Error('unknown user'));
  socket.data.user = rows[0];
  next();
});

const isMember = async (room, user) => {
  const text = 'SELECT FROM members WHERE room_id = $1 AND user_id = $2';
  return (await pool.query({ name: 'member', text, values: [room, user] })).rowCount > 0;
};

io.on('connection', (socket) => {
  const { user } = socket.data;
  socket.on('join', async (room, answer) => {
    if (!(await isMember(room, user.id))) return answer({ error: 'NOT_FOUND' });
    await socket.join(`room:${room}`);
    answer({});
  });
  socket.on('send', async ({ room, body }, answer) => {
    const { rows } = await pool.query({
      name: 'send',
      text: `INSERT INTO messages (room_id, sender_id, body)
        SELECT $1, $2, $3 WHERE EXISTS (SELECT FROM members WHERE room_id = $1 AND user_id = $2)
        RETURNING id, created_at`,
      values: [room, user.id, body],
    });
    if (!rows[0]) return answer({ error: 'NOT_FOUND' });
    const message = { id: rows[0].id, roomId: room, body, createdAt: rows[0].created_at, sender: user };
    io.to(`room:${room}`).emit('message', message);
    answer({ id: message.id, createdAt: message.createdAt });
  });
});

server.listen(0, '127.0.0.1', () => console.log(`ready http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
