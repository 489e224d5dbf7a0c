import { randomBytes } from 'node:crypto';
import { isActive } from '../auth/expiry.ts';
import { createPasswords } from '../auth/passwords.ts';
import { endSessions } from '../auth/sessions.ts';
import { type Database, sql } from '../database/database.ts';
import type { Session } from '../database/generated/client.ts';
import { encodeId, keyOf } from '../ids.ts';
import { closeAccount } from '../users/deletion.ts';
import { foldName } from '../text/names.ts';
import { makeAccount } from '../users/users.ts';
import type { Command } from './admin.ts';
import { printable } from './printable.ts';

/** What is done to accounts. Nodes hear of sessions that end within a second, from the database. */
export const userCommands: Record<string, Command> = {
  'create-user': {
    words: ['USERNAME'],
    help: 'Makes an account. Without --password-stdin it makes a password, which is shown this once.',
    options: {
      nickname: { type: 'string', help: 'what the user is shown as' },
      email: { type: 'string', help: 'an address to sign in by; it is sent a mail that proves it' },
      'password-stdin': { type: 'boolean', help: 'reads the password from what is piped in' },
    },
    async run({ open, readInput }, [username = ''], { nickname, email, 'password-stdin': piped }) {
      const database = await open();
      const password = piped ? (await readInput()).replace(/\r?\n$/, '') : randomBytes(18).toString('base64url');
      await makeAccount(
        { database, passwords: await createPasswords() },
        { username, password, nickname: text(nickname), email: text(email) },
      );
      return piped ? `Made "${username}".` : `Made "${username}". The password, which is shown this once:\n${password}`;
    },
  },
  'suspend-user': {
    words: ['USERNAME'],
    help: 'Suspends an account: nobody signs in to it, and its sessions end, with their sockets, within a second. What it has said stays. restore-user ends it.',
    async run({ open }, [username = '']) {
      const database = await open();
      const { id } = await findUser(database, username);
      await database.transaction(async (query) => {
        // Whoever is being signed in holds the row: their session is there when the sessions end.
        await query(sql`UPDATE users SET suspended_at = coalesce(suspended_at, now()) WHERE id = ${id}::uuid`);
        await endSessions(query, sql`user_id = ${id}::uuid`);
      });
      return `"${username}" is suspended.`;
    },
  },
  'restore-user': {
    words: ['USERNAME'],
    help: 'Ends the suspension of an account. Its user signs in again.',
    async run({ open }, [username = '']) {
      const database = await open();
      const { id } = await findUser(database, username);
      await database.query(sql`UPDATE users SET suspended_at = NULL WHERE id = ${id}::uuid`);
      return `"${username}" may sign in again.`;
    },
  },
  'delete-user': {
    words: ['USERNAME'],
    help: 'Deletes an account, as its user could. Sessions end within a second; messages stay without a sender; rooms that it owns are handed on. It cannot be undone: export first what is to be kept.',
    options: { yes: { type: 'boolean', help: 'says that you mean it' } },
    async run({ open }, [username = ''], { yes }) {
      const database = await open();
      const { id } = await findUser(database, username);
      if (!yes) throw new Error(`This cannot be undone. To delete "${username}", say --yes.`);
      await database.transaction((query) => closeAccount(query, id, 0));
      return `The account of "${username}" is closed. A node clears it away; where none runs, the next one that starts.`;
    },
  },
  'list-sessions': {
    words: ['USERNAME'],
    help: 'Lists the sessions of a user that have not ended: since when, last seen when, from where.',
    async run({ open }, [username = '']) {
      const database = await open();
      const { id } = await findUser(database, username);
      const sessions = await database.query<Session>(sql`
        SELECT id, created_at AS "createdAt", last_seen_at AS "lastSeenAt", ip_address AS "ipAddress", user_agent AS "userAgent"
          FROM sessions s WHERE user_id = ${id}::uuid AND ${isActive(sql`s`)} ORDER BY created_at DESC`);
      const lines = sessions.map((session) =>
        [
          encodeId('Session', session.id),
          ...[session.createdAt.toISOString(), session.lastSeenAt.toISOString()],
          ...[session.ipAddress ?? '-', printable(session.userAgent ?? '-')],
        ].join('  '),
      );
      return lines.join('\n') || 'There are none.';
    },
  },
  'end-session': {
    words: ['SESSION_ID'],
    help: 'Ends one session, with its sockets, within a second. Its id stands in list-sessions.',
    async run({ open }, [id = '']) {
      const database = await open();
      const key = keyOf('Session', id);
      const found = key === null ? null : await database.prisma.session.findUnique({ where: { id: key } });
      if (!found) throw new Error('There is no such session. Take its id from list-sessions.');
      await endSessions(database.query, sql`id = ${found.id}::uuid`);
      return 'The session has ended.';
    },
  },
  'end-sessions': {
    words: ['USERNAME'],
    help: 'Ends all sessions of a user, with their sockets, within a second. They may sign in again.',
    async run({ open }, [username = '']) {
      const database = await open();
      const { id } = await findUser(database, username);
      await endSessions(database.query, sql`user_id = ${id}::uuid`);
      return `All sessions of "${username}" have ended.`;
    },
  },
};

async function findUser(database: Database, username: string): Promise<{ id: string }> {
  const user = await database.prisma.user.findUnique({ where: { usernameKey: foldName(username) } });
  if (!user) throw new Error(`There is no user "${username}".`);
  return user;
}

function text(option: string | boolean | undefined): string | undefined {
  return typeof option === 'string' ? option : undefined;
}
