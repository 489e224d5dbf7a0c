import type { Context } from '../../core/context.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { closeAccount, finishDeletion, REQUEST_TIMEOUT_MS } from '../accounts/deletion.ts';
import { restoreUser, suspendUser } from '../accounts/suspension.ts';
import { isExternalId, noSuchUser } from '../users/externalIds.ts';

/**
 * Returns the key of a user, and locks the row until the end of the transaction.
 *
 * @throws ChatError `NOT_FOUND` if no user has the external id
 */
export async function lockExternalUser(query: Database['query'], externalId: string): Promise<string> {
  const [user] = isExternalId(externalId)
    ? await query<{ id: string }>(sql`SELECT id FROM users WHERE external_id = ${externalId} FOR NO KEY UPDATE`)
    : [];
  return user?.id ?? noSuchUser(externalId, 'externalId');
}

/**
 * Refuses all tokens of the company's own issuer that were issued to a user until now. Tokens that Parley has not seen yet
 * have no session that could be ended.
 */
export async function refuseExternalTokens(query: Database['query'], externalId: string): Promise<void> {
  await query(sql`SELECT refuse_external_tokens(${externalId}, false)`);
}

/**
 * Suspends a user: all sessions end, and no token of the user is accepted. Messages and memberships stay.
 *
 * @throws ChatError `NOT_FOUND` if no user has the external id
 */
export async function deactivateUser(context: Context, externalId: string): Promise<string> {
  const userId = await context.database.transaction(async (query) => {
    const id = await lockExternalUser(query, externalId);
    await suspendUser(query, id);
    await refuseExternalTokens(query, externalId);
    return id;
  });
  context.changePoller.requestPoll();
  return userId;
}

/**
 * Ends the suspension of a user. The user needs new tokens.
 *
 * @throws ChatError `NOT_FOUND` if no user has the external id
 */
export async function reactivateUser(context: Context, externalId: string): Promise<string> {
  return context.database.transaction(async (query) => {
    const id = await lockExternalUser(query, externalId);
    await restoreUser(query, id);
    return id;
  });
}

/**
 * Deletes the account of a user, like `deleteAccount`. A job completes the deletion of an account with very many messages
 * after this function has returned.
 *
 * @returns the key of the deleted user
 * @throws ChatError `NOT_FOUND` if no user has the external id
 */
export async function deleteExternalUser(context: Context, externalId: string): Promise<string> {
  const userId = await context.database.transaction(async (query) => {
    const id = await lockExternalUser(query, externalId);
    await closeAccount(query, id);
    return id;
  });
  context.changePoller.requestPoll();
  await finishDeletion(context, { userId }, Date.now() + REQUEST_TIMEOUT_MS);
  return userId;
}
