import { isActive } from '../../auth/sessionExpiry.ts';
import type { Context } from '../../core/context.ts';
import { checkNameSearch, foldName } from '../../core/text/names.ts';
import { sql } from '../../platform/database/database.ts';
import type { Chatroom, Session, User } from '../../platform/database/generated/client.ts';
import { connect, type Connection, type ConnectionArgs, cursors, keyset } from '../../platform/database/keysetPage.ts';
import { createLoader } from '../../platform/database/loader.ts';
import { byUsername, sessionColumns, userColumns } from '../users/users.ts';

// What admins see of users and rooms. Callers check that the viewer is an admin.

/** A user, with the facts that only admins see. */
export interface AdministeredUser extends User {
  suspendedAt: Date | null;
  isAdmin: boolean;
  hasPassword: boolean;
}

const administeredColumns = sql`
  ${userColumns}, u.suspended_at AS "suspendedAt", u.password_hash IS NOT NULL AS "hasPassword",
  EXISTS (SELECT FROM admins a WHERE a.user_id = u.id) AS "isAdmin"`;

/** Returns a user with the facts that only admins see; null if there is no such user. */
export const administeredUserById = createLoader<AdministeredUser>(
  ({ database }, ids) =>
    database.query(sql`SELECT ${administeredColumns} FROM users u WHERE u.id = ANY (${ids}::uuid[])`),
  ({ id }) => id,
);

/**
 * Lists users, sorted by username. With `search`, lists those whose username or nickname begins with that text, or whose
 * external id is that text.
 *
 * @throws ChatError `BAD_USER_INPUT` if `search` is too long
 */
export async function listAdministeredUsers(
  { database }: Context,
  search: string | null,
  args: ConnectionArgs,
): Promise<Connection<AdministeredUser>> {
  const prefix = search === null ? null : foldName(checkNameSearch(search, 'search'));
  const matches =
    prefix === null
      ? sql`true`
      : sql`(u.username_key ^@ ${prefix} OR u.nickname_key ^@ ${prefix} OR u.external_id = ${search})`;
  return connect<AdministeredUser>(args, {
    ...cursors('adminUsers', byUsername, (user) => [user.usernameKey]),
    load: (page) =>
      database.query(sql`
        SELECT ${administeredColumns} FROM users u WHERE ${matches} ${byUsername.bounds(page)}
          ORDER BY ${byUsername.order(page)} LIMIT ${page.limit}`),
  });
}

/** Returns the active sessions of a user, newest first. */
export function listActiveSessions({ database }: Pick<Context, 'database'>, userId: string): Promise<Session[]> {
  return database.query(sql`
    SELECT ${sessionColumns} FROM sessions s
      WHERE s.user_id = ${userId}::uuid AND ${isActive(sql`s`)} ORDER BY s.created_at DESC`);
}

/** A room, without its content. */
export type AdministeredChatroom = Pick<
  Chatroom,
  'id' | 'kind' | 'name' | 'externalId' | 'ownerId' | 'createdAt' | 'lastMessageAt'
> & {
  memberCount: number;
  messageCount: number;
};

const byCreation = keyset({ 'c.created_at': 'moment', 'c.id': 'uuid' }, 'DESC');

/**
 * Lists rooms of all kinds, newest first. With `search`, lists those whose name begins with that text regardless of
 * letter case, or whose external id is that text.
 *
 * @throws ChatError `BAD_USER_INPUT` if `search` is too long
 */
export async function listAdministeredChatrooms(
  { database }: Context,
  search: string | null,
  args: ConnectionArgs,
): Promise<Connection<AdministeredChatroom>> {
  const text = search === null ? null : checkNameSearch(search, 'search').toLowerCase();
  const matches = text === null ? sql`true` : sql`(lower(c.name) ^@ ${text} OR c.external_id = ${search})`;
  return connect<AdministeredChatroom>(args, {
    ...cursors('adminChatrooms', byCreation, (room) => [room.createdAt, room.id]),
    load: (page) =>
      database.query(sql`
        SELECT c.id, c.kind, c.name, c.external_id AS "externalId", c.owner_id AS "ownerId", c.created_at AS "createdAt",
               c.last_message_at AS "lastMessageAt", c.last_number AS "messageCount",
               (SELECT count(*)::int FROM members m WHERE m.chatroom_id = c.id) AS "memberCount"
          FROM chatrooms c WHERE ${matches} ${byCreation.bounds(page)}
          ORDER BY ${byCreation.order(page)} LIMIT ${page.limit}`),
  });
}
