import { pruneSessions } from '../../auth/sessionExpiry.ts';
import { sql } from '../../platform/database/database.ts';
import { pruneLog } from '../../delivery/roomLog.ts';
import { reindex } from '../../features/search/reindex.ts';
import type { Command } from './command.ts';

/** Maximum number of log events that one statement deletes or updates. */
const BATCH_SIZE = 10_000;

/** Commands that work on the database as a whole. */
export const maintenanceCommands: Record<string, Command> = {
  prune: {
    parameters: [],
    help: 'Deletes old data, as a node does each hour: room events older than LOG_DAYS, expired tokens, and sessions that ended more than 90 days ago. Messages stay.',
    async run({ open, config }) {
      const database = await open();
      await pruneLog(database, config.LOG_DAYS);
      await pruneSessions(database);
      return `Deleted room events older than ${config.LOG_DAYS} days, expired tokens and old sessions.`;
    },
  },
  reindex: {
    parameters: [],
    help: 'Rebuilds the search index of all messages. Run it after an upgrade if the release notes ask for it. Nodes may keep running. If it is interrupted, run it again.',
    async run({ open, progress }) {
      const changed = await reindex(await open(), progress);
      return `Updated the search index of ${changed.toLocaleString('en')} messages.`;
    },
  },
  restored: {
    parameters: [],
    help: 'Run it after restoring a backup of any kind, before a node starts. It invalidates all earlier cursors, so that clients reload data that may have changed. No message is lost.',
    options: { yes: { type: 'boolean', help: 'confirms that no node is running' } },
    async run({ open }, _arguments, { yes }) {
      const database = await open();
      const running = await database.query(sql`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'parley jobs'`);
      if (running.length > 0) throw new Error('A node is running on this database. Stop all nodes first.');
      if (!yes)
        throw new Error('All clients will have to reload their data. If no node is running, confirm with --yes.');
      await database.query(sql`INSERT INTO restorations DEFAULT VALUES`);
      // Deletes all events except the last of each room, because no client can resume from them any more. Sets the
      // transaction id of the remaining events to 3, which is in the past on every server. A dump contains the ids of
      // another server, and this server could mistake them for future transactions.
      const clear = sql`
        DELETE FROM events WHERE (chatroom_id, seq) IN (
          SELECT e.chatroom_id, e.seq FROM events e JOIN chatrooms c ON c.id = e.chatroom_id
            WHERE e.seq < c.last_seq ORDER BY e.chatroom_id, e.seq LIMIT ${BATCH_SIZE}) RETURNING 1`;
      const age = sql`
        UPDATE events SET xid = '3' WHERE (chatroom_id, seq) IN (
          SELECT chatroom_id, seq FROM events WHERE xid > '3' LIMIT ${BATCH_SIZE}) RETURNING 1`;
      for (const statement of [clear, age]) while ((await database.query(statement)).length > 0);
      await database.query(sql`DELETE FROM membership_changes`);
      await database.query(sql`DELETE FROM endings`);
      return 'The database has a new id, and earlier cursors are invalid. Start the nodes; clients will reload their data.';
    },
  },
};
