import type { Logger } from 'pino';
import type { Passwords } from './auth/passwords.ts';
import type { AccessClaims, AccessTokens } from './auth/tokens.ts';
import type { Database } from './database/database.ts';
import { ChatError } from './errors.ts';
import type { Tails } from './realtime/tails.ts';

/** What one node of the server has; made once, by `createNode`. */
export interface ServerNode {
  database: Database;
  tails: Tails;
  accessTokens: AccessTokens;
  passwords: Passwords;
  log: Logger;
  /** Names the database in cursors. */
  databaseMark: string;
  /** Gives back connections and timers. */
  close(): Promise<void>;
}

/** Where a request comes from, as its session will show it. */
export interface Origin {
  ipAddress: string | null;
  userAgent: string | null;
}

/** One operation on one node; each event of a subscription has a new one. */
export interface Context extends ServerNode {
  /** Who is signed in, on which session; null for nobody. */
  viewer: AccessClaims | null;
  /** Why the token that was sent does not count. */
  rejected: ChatError | null;
  /** The snapshot of the operation's first statement, taken before anything else was read; see `RoomCursor.floor`. */
  floor: string | undefined;
  origin: Origin;
  /** What the loaders remember belongs to this; another object forgets it. */
  cache: object;
}

/**
 * The signed-in user.
 *
 * @throws ChatError `UNAUTHENTICATED` or `TOKEN_EXPIRED`
 */
export function requireViewer(context: Context): AccessClaims {
  if (context.viewer) return context.viewer;
  throw (
    context.rejected ??
    new ChatError('UNAUTHENTICATED', 'Sign in first, and send the access token as "Authorization: Bearer TOKEN".')
  );
}

/** The same operation with nothing remembered: what one event of a subscription is executed in. */
export function freshContext(context: Context): Context {
  return { ...context, floor: undefined, cache: {} };
}
