import { notAdmin, requireAdmin } from '../../auth/admins.ts';
import type { Context } from '../../core/context.ts';
import { badInput } from '../../core/errors.ts';
import { countCharacters, isStorable } from '../../core/text/text.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { AuditEntry } from '../../platform/database/generated/client.ts';
import { connect, type Connection, type ConnectionArgs, cursors, keyset } from '../../platform/database/keysetPage.ts';

/** Maximum length of a reason, in characters. A longer one is `BAD_USER_INPUT`. */
export const MAX_REASON_LENGTH = 500;

/** An action of an admin. */
export interface Action {
  /** Name of the mutation. */
  name: string;
  /** Name of the user, room or service that the action changes. Null if it changes none. */
  subject: string | null;
  reason: string;
}

/**
 * Runs an action of an admin, and writes its audit entry in the same transaction. No action is then without an entry.
 * Afterwards requests a poll, so that ended sessions lose their sockets at once.
 *
 * @throws ChatError `FORBIDDEN` unless the viewer is an admin; `BAD_USER_INPUT` for an empty or too long reason
 */
export async function administer<Result>(
  context: Context,
  { name, subject, reason }: Action,
  act: (query: Database['query']) => Promise<Result>,
): Promise<Result> {
  const actorId = await requireAdmin(context);
  const text = reason.trim();
  if (text === '' || countCharacters(text, MAX_REASON_LENGTH) > MAX_REASON_LENGTH || !isStorable(text))
    throw badInput(
      'input.reason',
      `Give a reason of 1 to ${MAX_REASON_LENGTH} characters. It is kept in the audit log.`,
    );
  const result = await context.database.transaction(async (query) => {
    // Locked until the entry is stored: neither the end of the grant nor the deletion of the account comes in between.
    const grants = await query(sql`SELECT FROM admins WHERE user_id = ${actorId}::uuid FOR KEY SHARE`);
    if (grants.length === 0) throw notAdmin();
    const done = await act(query);
    await query(sql`
      INSERT INTO audit_entries (actor_id, actor_name, action, subject, reason)
        SELECT id, username, ${name}, ${subject}, ${text} FROM users WHERE id = ${actorId}::uuid`);
    return done;
  });
  context.changePoller.requestPoll();
  return result;
}

const byTime = keyset({ 'e.created_at': 'moment', 'e.id': 'uuid' }, 'DESC');

/** Lists the actions of admins, newest first. */
export function listAuditEntries(context: Context, args: ConnectionArgs): Promise<Connection<AuditEntry>> {
  return connect<AuditEntry>(args, {
    ...cursors('auditEntries', byTime, (entry) => [entry.createdAt, entry.id]),
    load: (page) =>
      context.database.query<AuditEntry>(sql`
        SELECT id, created_at AS "createdAt", actor_id AS "actorId", actor_name AS "actorName", action, subject, reason
          FROM audit_entries e WHERE true ${byTime.bounds(page)} ORDER BY ${byTime.order(page)} LIMIT ${page.limit}`),
  });
}
