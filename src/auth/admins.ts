import { type Context, requireViewer } from '../core/context.ts';
import { ChatError } from '../core/errors.ts';
import { type Database, sql } from '../platform/database/database.ts';
import { createLoader } from '../platform/database/loader.ts';
import { endSessions } from './sessions.ts';

const adminById = createLoader<{ userId: string }>(
  ({ database }, ids) =>
    database.prepared(sql`SELECT user_id AS "userId" FROM admins WHERE user_id = ANY (${ids}::uuid[])`),
  ({ userId }) => userId,
);

/** Returns whether the viewer is an admin. The grant is read in each operation, so that a revoked grant ends at once. */
export async function isAdmin(context: Context): Promise<boolean> {
  return context.viewer !== null && (await adminById(context, context.viewer.userId)) !== null;
}

/**
 * Returns the id of the viewer, who must be an admin.
 *
 * @throws ChatError `FORBIDDEN` for all other users and for services; `UNAUTHENTICATED` or `TOKEN_EXPIRED` if nobody is
 *   signed in
 */
export async function requireAdmin(context: Context): Promise<string> {
  const { userId } = requireViewer(context);
  if (!(await isAdmin(context))) throw notAdmin();
  return userId;
}

/** Returns the `FORBIDDEN` error for users who are no admins. */
export function notAdmin(): ChatError {
  return new ChatError(
    'FORBIDDEN',
    'Only admins can do this. The operator makes a user an admin with `npm run admin -- grant USERNAME`.',
  );
}

/**
 * Makes a user an admin. Granting again changes nothing.
 *
 * Ends the sessions of a user with an external id, because a service may have their tokens. A service gets no further
 * token (features/services/userTokens.ts).
 */
export async function grantAdmin({ transaction }: Pick<Database, 'transaction'>, userId: string): Promise<void> {
  await transaction(async (query) => {
    // Waits for tokens of the user that are being created.
    const [user] = await query<{ externalId: string | null }>(sql`
      SELECT external_id AS "externalId" FROM users WHERE id = ${userId}::uuid FOR NO KEY UPDATE`);
    const granted = await query(sql`
      INSERT INTO admins (user_id) VALUES (${userId}::uuid) ON CONFLICT DO NOTHING RETURNING 1 AS made`);
    if (granted.length > 0 && user?.externalId != null) await endSessions(query, sql`user_id = ${userId}::uuid`);
  });
}

/** Ends the grant of an admin. Returns false if the user is no admin. */
export async function revokeAdmin({ query }: Pick<Database, 'query'>, userId: string): Promise<boolean> {
  return (await query(sql`DELETE FROM admins WHERE user_id = ${userId}::uuid RETURNING 1`)).length > 0;
}

/** Returns the admins, sorted by username. */
export function listAdmins({ query }: Pick<Database, 'query'>): Promise<{ username: string; grantedAt: Date }[]> {
  return query(sql`
    SELECT u.username, a.granted_at AS "grantedAt" FROM admins a JOIN users u ON u.id = a.user_id ORDER BY u.username_key`);
}

/** Returns an external id for the viewer: null for everybody but services and admins. */
export async function shownExternalId(context: Context, externalId: string | null): Promise<string | null> {
  return externalId !== null && (context.service || (await isAdmin(context))) ? externalId : null;
}
