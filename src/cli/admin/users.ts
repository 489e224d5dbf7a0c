import { randomBytes } from 'node:crypto';
import { grantAdmin, listAdmins, revokeAdmin } from '../../auth/admins.ts';
import { createPasswords } from '../../auth/passwordHashing.ts';
import { endSessions } from '../../auth/sessions.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { encodeId, keyOf } from '../../core/globalIds.ts';
import { closeAccount } from '../../features/accounts/deletion.ts';
import { restoreUser, suspendUser } from '../../features/accounts/suspension.ts';
import { listActiveSessions } from '../../features/administration/lists.ts';
import { foldName } from '../../core/text/names.ts';
import { createAccount } from '../../features/users/users.ts';
import type { Command } from './command.ts';
import { printable } from './printable.ts';

/**
 * Commands for accounts and sessions. Running nodes detect an ended session within a second, because they poll the
 * database.
 */
export const userCommands: Record<string, Command> = {
  'create-user': {
    parameters: ['USERNAME'],
    help: 'Creates an account. Without --password-stdin, generates a password and shows it once.',
    options: {
      nickname: { type: 'string', help: 'display name of the user' },
      email: { type: 'string', help: 'e-mail address for signing in; a verification mail is sent to it' },
      'password-stdin': { type: 'boolean', help: 'reads the password from standard input' },
    },
    async run({ open, readInput }, [username = ''], { nickname, email, 'password-stdin': piped }) {
      const database = await open();
      const password = piped ? (await readInput()).replace(/\r?\n$/, '') : randomBytes(18).toString('base64url');
      await createAccount(
        { database, passwords: await createPasswords() },
        { username, password, nickname: text(nickname), email: text(email) },
      );
      return piped ? `Created "${username}".` : `Created "${username}". The password is not shown again:\n${password}`;
    },
  },
  'suspend-user': {
    parameters: ['USERNAME'],
    help: 'Suspends an account. Nobody can sign in to it, and its sessions and sockets end within a second. Its messages stay. Undo it with restore-user.',
    async run({ open }, [username = '']) {
      const database = await open();
      const { id } = await findUser(database, username);
      await database.transaction((query) => suspendUser(query, id));
      return `"${username}" is suspended.`;
    },
  },
  'restore-user': {
    parameters: ['USERNAME'],
    help: 'Ends the suspension of an account. The user must sign in again.',
    async run({ open }, [username = '']) {
      const database = await open();
      const { id } = await findUser(database, username);
      await restoreUser(database.query, id);
      return `"${username}" can sign in again.`;
    },
  },
  'delete-user': {
    parameters: ['USERNAME'],
    help: 'Deletes an account, like the mutation `deleteAccount`. Its sessions end within a second. Its messages stay without a sender, and its rooms get another owner. This cannot be undone; export the data first if you need it.',
    options: { yes: { type: 'boolean', help: 'confirms the deletion' } },
    async run({ open }, [username = ''], { yes }) {
      const database = await open();
      const { id } = await findUser(database, username);
      if (!yes) throw new Error(`This cannot be undone. To delete "${username}", add --yes.`);
      await database.transaction((query) => closeAccount(query, id, 0));
      return `The account of "${username}" is closed. A running node deletes its data. If no node is running, the next node to start deletes the data.`;
    },
  },
  grant: {
    parameters: ['USERNAME'],
    help: 'Makes a user an admin: the user can use the admin API and the page /admin. Admins do not read rooms that they are not in.',
    async run({ open }, [username = '']) {
      const database = await open();
      const { id } = await findUser(database, username);
      await grantAdmin(database, id);
      const [user] = await database.query<{ hasPassword: boolean }>(sql`
        SELECT password_hash IS NOT NULL AS "hasPassword" FROM users WHERE id = ${id}::uuid`);
      if (user?.hasPassword) return `"${username}" is an admin.`;
      return `"${username}" is an admin, but has no password. If the user cannot sign in with OpenID, create another user for the page /admin with create-user.`;
    },
  },
  revoke: {
    parameters: ['USERNAME'],
    help: 'Ends what grant began. The next request of the user is refused by the admin API.',
    async run({ open }, [username = '']) {
      const database = await open();
      if (!(await revokeAdmin(database, (await findUser(database, username)).id)))
        throw new Error(`"${username}" is no admin. Run list-admins to see their names.`);
      return `"${username}" is no longer an admin.`;
    },
  },
  'list-admins': {
    parameters: [],
    help: 'Lists the admins, and when each was granted access.',
    async run({ open }) {
      const admins = await listAdmins(await open());
      return (
        admins.map(({ username, grantedAt }) => `${grantedAt.toISOString()}  ${username}`).join('\n') ||
        'There are no admins.'
      );
    },
  },
  'list-sessions': {
    parameters: ['USERNAME'],
    help: 'Lists the active sessions of a user: id, start, last use, address and device.',
    async run({ open }, [username = '']) {
      const database = await open();
      const { id } = await findUser(database, username);
      const sessions = await listActiveSessions({ database }, id);
      const lines = sessions.map((session) =>
        [
          encodeId('Session', session.id),
          ...[session.createdAt.toISOString(), session.lastSeenAt.toISOString()],
          ...[session.ipAddress ?? '-', printable(session.userAgent ?? '-')],
        ].join('  '),
      );
      return lines.join('\n') || 'There are no active sessions.';
    },
  },
  'end-session': {
    parameters: ['SESSION_ID'],
    help: 'Ends one session and its sockets within a second. list-sessions shows the ids.',
    async run({ open }, [id = '']) {
      const database = await open();
      const key = keyOf('Session', id);
      const found = key === null ? null : await database.prisma.session.findUnique({ where: { id: key } });
      if (!found) throw new Error('There is no such session. Use an id from list-sessions.');
      await endSessions(database.query, sql`id = ${found.id}::uuid`);
      return 'The session has ended.';
    },
  },
  'end-sessions': {
    parameters: ['USERNAME'],
    help: 'Ends all sessions of a user and their sockets within a second. The user can sign in again.',
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
  if (!user) throw new Error(`There is no user "${username}". Check the username.`);
  return user;
}

function text(option: string | boolean | undefined): string | undefined {
  return typeof option === 'string' ? option : undefined;
}
