import pg from 'pg';
import type { Client } from './client.ts';

/** A stack without a server. The load process runs plain INSERTs over this pool. */
let pool: pg.Pool | undefined;

export const insertClient: Client = {
  listen: () => Promise.reject(new Error('The stack "insert" does not deliver messages.')),
  openSender(url, user) {
    const own = (pool ??= new pg.Pool({ connectionString: url, max: 10 }));
    return Promise.resolve({
      async send(room, body) {
        await own.query({
          name: 'insert',
          text: 'INSERT INTO messages (room_id, sender_id, body) VALUES ($1, $2, $3) RETURNING id, created_at',
          values: [room, user, body],
        });
      },
      close: () => undefined,
    });
  },
};
