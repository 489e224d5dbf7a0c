import { pruneSessions } from '../auth/expiry.ts';
import { sql } from '../database/database.ts';
import { pruneLog } from '../realtime/log.ts';
import { reindex } from '../search/reindex.ts';
import type { Command } from './admin.ts';

/** How much of the log goes at once. */
const BATCH = 10_000;

/** What is done to the database as a whole. */
export const upkeepCommands: Record<string, Command> = {
  prune: {
    words: [],
    help: 'Deletes what is too old, as a node does each hour: events of rooms older than LOG_DAYS, expired tokens, and sessions that ended 90 days ago. Messages stay.',
    async run({ open, config }) {
      const database = await open();
      await pruneLog(database, config.LOG_DAYS);
      await pruneSessions(database);
      return `Cleared away what is older than ${config.LOG_DAYS} days.`;
    },
  },
  reindex: {
    words: [],
    help: 'Cuts the texts of all messages into words for the search again, after an upgrade whose notes ask for it. Nodes may run meanwhile; if it is interrupted, run it again.',
    async run({ open, progress }) {
      const changed = await reindex(await open(), progress);
      return `Stored other words for ${changed.toLocaleString('en')} messages.`;
    },
  },
  restored: {
    words: [],
    help: 'To be run after a backup was restored, whatever kind it was of, before any node starts: no cursor from before is honoured any more, so that clients load anew what may have changed. Nothing that was said is lost by it.',
    options: { yes: { type: 'boolean', help: 'says that no node is running' } },
    async run({ open }, _words, { yes }) {
      const database = await open();
      const running = await database.query(sql`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'parley jobs'`);
      if (running.length > 0) throw new Error('A node is running on this database. Stop all of them first.');
      if (!yes) throw new Error('Clients will have to load everything anew. If no node is running, say --yes.');
      await database.query(sql`INSERT INTO restorations DEFAULT VALUES`);
      // Nobody can resume from it any more. A dump has brought the numbers of another server's transactions, which this
      // one would take for its own that are to come; of what stays, the number says "long ago".
      const clear = sql`
        DELETE FROM events WHERE (chatroom_id, seq) IN (
          SELECT e.chatroom_id, e.seq FROM events e JOIN chatrooms c ON c.id = e.chatroom_id
            WHERE e.seq < c.last_seq ORDER BY e.chatroom_id, e.seq LIMIT ${BATCH}) RETURNING 1`;
      const age = sql`
        UPDATE events SET xid = '3' WHERE (chatroom_id, seq) IN (
          SELECT chatroom_id, seq FROM events WHERE xid > '3' LIMIT ${BATCH}) RETURNING 1`;
      for (const statement of [clear, age]) while ((await database.query(statement)).length > 0);
      await database.query(sql`DELETE FROM membership_changes`);
      await database.query(sql`DELETE FROM endings`);
      return 'This database has a name of its own now. Start the nodes; clients load anew.';
    },
  },
};
