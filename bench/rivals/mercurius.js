// Mercurius with its Redis emitter, as in its documentation, and `pg`. Published messages contain the sender, so subscribers
// load nothing.
import process from 'node:process';
import { URL } from 'node:url';
import fastify from 'fastify';
import mercurius from 'mercurius';
import redisEmitter from 'mqemitter-redis';
import pg from 'pg';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const app = fastify();

const schema = `
  type User { id: ID! username: String! nickname: String! }
  type Message { id: ID! body: String! createdAt: String! sender: User! }
  type Query { ready: Boolean! }
  type Mutation { sendMessage(room: ID!, body: String!): Message }
  type Subscription { messageAdded(room: ID!): Message! }
`;

const resolvers = {
  Query: { ready: () => true },
  Mutation: {
    async sendMessage(_, { room, body }, { userId, pubsub }) {
      const { rows } = await pool.query({
        name: 'send',
        text: `WITH stored AS (
            INSERT INTO messages (room_id, sender_id, body)
              SELECT $1, $2, $3 WHERE EXISTS (SELECT FROM members WHERE room_id = $1 AND user_id = $2)
              RETURNING id, sender_id, body, created_at
          )
          SELECT s.*, u.username, u.nickname FROM stored s JOIN users u ON u.id = s.sender_id`,
        values: [room, userId, body],
      });
      const [stored] = rows;
      if (!stored) throw new Error('NOT_FOUND');
      const message = {
        ...{ id: stored.id, body, createdAt: stored.created_at.toISOString() },
        sender: { id: stored.sender_id, username: stored.username, nickname: stored.nickname },
      };
      await pubsub.publish({ topic: `room:${room}`, payload: { messageAdded: message } });
      return message;
    },
  },
  Subscription: {
    messageAdded: {
      async subscribe(_, { room }, { userId, pubsub }) {
        const text = 'SELECT FROM members WHERE room_id = $1 AND user_id = $2';
        const { rowCount } = await pool.query({ name: 'member', text, values: [room, userId] });
        if (rowCount === 0) throw new Error('NOT_FOUND');
        return pubsub.subscribe(`room:${room}`);
      },
    },
  },
};

const { hostname: host, port } = new URL(process.env.REDIS_URL);
app.register(mercurius, {
  ...{ schema, resolvers, jit: 1 },
  context: (request) => ({ userId: Number(request.headers.authorization) }),
  subscription: {
    emitter: redisEmitter({ host, port: Number(port) }),
    context: (_connection, request) => ({ userId: Number(request.headers.authorization) }),
  },
});
console.log(`ready ${await app.listen({ port: 0, host: '127.0.0.1' })}`);
process.on('SIGTERM', () => process.exit(0));
