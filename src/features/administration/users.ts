import { randomBytes } from 'node:crypto';
import { type Context, requireViewer } from '../../core/context.ts';
import { badInput } from '../../core/errors.ts';
import { createAccount } from '../users/users.ts';
import { administer } from './audit.ts';
import { type AdministeredUser, administeredUserById } from './lists.ts';

/**
 * Creates an account with a generated password.
 *
 * @throws ChatError `BAD_USER_INPUT`, `USERNAME_TAKEN`, `EMAIL_TAKEN`; `FORBIDDEN` unless the viewer is an admin
 */
export async function createUser(
  context: Context,
  input: { username: string; nickname?: string | null | undefined; email?: string | null | undefined; reason: string },
): Promise<{ user: AdministeredUser; password: string }> {
  const password = randomBytes(18).toString('base64url');
  const action = { name: 'adminCreateUser', subject: input.username.slice(0, 200), reason: input.reason };
  const { id } = await administer(context, action, (query) =>
    // The account is created in the transaction of the audit entry.
    createAccount(
      { passwords: context.passwords, database: { query, transaction: (work) => work(query) } },
      { ...input, password },
    ),
  );
  const user = await administeredUserById(context, id);
  if (!user) throw new Error('The created user was not found.');
  return { user, password };
}

/**
 * Checks that an admin acts on another user, because admins who lock themselves out need the command line.
 *
 * @throws ChatError `BAD_USER_INPUT` for the viewer
 */
export function requireOther(context: Context, userId: string): void {
  if (requireViewer(context).userId === userId)
    throw badInput('input.userId', 'You cannot do this to your own account. Ask another admin.');
}
