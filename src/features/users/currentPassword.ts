import { type Context, requireViewer } from '../../core/context.ts';
import { ChatError } from '../../core/errors.ts';
import { sql } from '../../platform/database/database.ts';
import { STEP_COSTS } from '../../platform/rateLimits/rateLimits.ts';

/**
 * Verifies the viewer's current password. Returns the password hash, or null for an account without a password.
 *
 * @param password null for an account without a password
 * @throws ChatError `INVALID_CREDENTIALS` if the password is wrong, or is given for an account without one;
 *   `RATE_LIMITED` after too many failures
 */
export async function requirePassword(context: Context, password: string | null): Promise<string | null> {
  const { userId, sessionId } = requireViewer(context);
  const [account] = await context.database.query<{ passwordHash: string | null }>(sql`
    SELECT password_hash AS "passwordHash" FROM users WHERE id = ${userId}::uuid`);
  const passwordHash = account?.passwordHash ?? null;
  // Throttled per session. Otherwise, an attacker with one stolen session could lock the user's other sessions out of
  // this check.
  const attempt = { account: `viewer:${userId}`, client: `session:${sessionId}`, isKnown: true };
  await context.loginThrottle.run(attempt, async () => {
    if (passwordHash !== null) await context.rateLimits.charge(context, STEP_COSTS.hashPassword);
    const fits =
      passwordHash === null ? password === null : await context.passwords.verify(password ?? '', passwordHash);
    if (!fits) throw wrongPassword();
  });
  return passwordHash;
}

export function wrongPassword(): ChatError {
  return new ChatError('INVALID_CREDENTIALS', 'The current password is wrong.');
}
