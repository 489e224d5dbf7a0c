import type { Logger } from 'pino';
import type { CookieJar } from './auth/cookies.ts';
import type { OpenIdProvider } from './auth/openid.ts';
import type { Passwords } from './auth/passwords.ts';
import type { Service } from './auth/services.ts';
import type { SessionFinder } from './auth/sessions.ts';
import type { DeviceTokens } from './auth/devices.ts';
import type { AccessClaims, AccessTokens } from './auth/tokens.ts';
import type { SessionWatch } from './auth/watch.ts';
import type { Blockers } from './blocks/blockers.ts';
import type { Database } from './database/database.ts';
import type { Counts, Open } from './counts.ts';
import { ChatError } from './errors.ts';
import type { Attempts } from './limits/attempts.ts';
import type { Rates } from './limits/rates.ts';
import type { Mailer } from './mail/mailer.ts';
import type { Sending } from './messages/sending.ts';
import type { Metrics } from './metrics.ts';
import type { PresenceBook } from './presence/presence.ts';
import type { Pushing } from './push/push.ts';
import type { ReadMarkFeed } from './reading/readMarks.ts';
import type { AnnounceSeen } from './reading/seen.ts';
import type { Bus } from './realtime/bus.ts';
import type { Sharing } from './realtime/sharing.ts';
import type { Sweep } from './realtime/sweep.ts';
import type { Tails } from './realtime/tails.ts';
import type { Tracing } from './tracing.ts';

/** What one node of the server has; made once, by `createNode`. */
export interface ServerNode {
  database: Database;
  bus: Bus;
  sweep: Sweep;
  tails: Tails;
  /** Ends what goes on for a session when the session ends. */
  sessions: SessionWatch;
  presence: PresenceBook;
  /** Who has blocked whom, for streams. */
  blockers: Blockers;
  sharing: Sharing;
  /** How much anybody may do, and how fast passwords may be tried. */
  rates: Rates;
  attempts: Attempts;
  /** Null on a node that can neither send nor print mails. */
  mailer: Mailer | null;
  push: Pushing;
  /** Null where no OpenID provider is configured. */
  openId: OpenIdProvider | null;
  /** Whether strangers may create accounts. */
  allowsSignUp: boolean;
  /** Where people reach the server, without a slash at the end. */
  publicUrl: string;
  accessTokens: AccessTokens;
  deviceTokens: DeviceTokens;
  findSession: SessionFinder;
  /** Stores messages. */
  sending: Sending;
  /** Tells senders that all have read. */
  announceSeen: AnnounceSeen;
  /** Reports members' read marks to this node's subscribers. */
  readMarks: ReadMarkFeed;
  passwords: Passwords;
  log: Logger;
  /** How it stands with this node, for those who watch over it: what is open, what was done, what Prometheus is told. */
  open: Open;
  counts: Counts;
  metrics: Metrics;
  /** Null where no collector of traces is configured. */
  tracing: Tracing | null;
  /** Names the database in cursors. */
  databaseMark: string;
  /** Days for which rooms' logs are kept. An older cursor is refused. */
  logDays: number;
  /** Gives back connections and timers. */
  close(): Promise<void>;
}

/** Where a request comes from, as its session will show it. */
export interface Origin {
  ipAddress: string | null;
  userAgent: string | null;
}

/** What one operation has beside what its node has. GraphQL Yoga and its plugins are given this, and copy it as they like. */
export interface Operation {
  /** What it runs on, in one piece. */
  node: ServerNode;
  /** Who is signed in, on which session; null for nobody. */
  viewer: AccessClaims | null;
  /** Which other service asks; never beside a viewer. */
  service: Service | null;
  /** Why the token that was sent does not count. */
  rejected: ChatError | null;
  /** The snapshot of the operation's first statement, taken before anything else was read; see `RoomCursor.floor`. */
  floor: string | undefined;
  origin: Origin;
  /** Under which the log has this operation. */
  requestId: string;
  /** The browser's cookies; null over WebSocket, where none can be set. */
  cookies: CookieJar | null;
  /** Calls a function when an HTTP client has gone, and answers one that ends it; null over WebSocket. */
  onGone: ((listener: () => void) => () => void) | null;
  /** An operation that ends its own session sets `isExpected` first. Its socket closes after the answer, not before. */
  sessionEnd: { isExpected: boolean };
  /** What the loaders remember belongs to this; another object forgets it. */
  cache: object;
}

/** One operation on one node; each event of a subscription has a new one. */
export interface Context extends ServerNode, Operation {
  /** While it is observed who reads the viewer: the context in which it is not, and what notes it. See `observeViewer`. */
  impersonally?: { context: Context; note: () => void };
}

/**
 * The signed-in user.
 *
 * @throws ChatError `UNAUTHENTICATED` or `TOKEN_EXPIRED`; `FORBIDDEN` for a service
 */
export function requireViewer(context: Context): AccessClaims {
  if (context.viewer) return context.viewer;
  if (context.service) {
    throw new ChatError('FORBIDDEN', 'A service token sends system messages and nothing else. Sign in as a user.');
  }
  throw (
    context.rejected ??
    new ChatError('UNAUTHENTICATED', 'Sign in first, and send the access token as "Authorization: Bearer TOKEN".')
  );
}

/**
 * What an operation runs in. It inherits what its node has: to copy some forty fields takes 26 µs, a tenth of the time that a
 * small operation takes in all, and what has so many of its own V8 keeps as a dictionary, in which every look is slow.
 */
export function contextOf(operation: Operation): Context {
  return Object.assign(Object.create(operation.node) as ServerNode, operation);
}

/** The same operation with nothing remembered, and nothing of its request but what is named here: what a subscription keeps. */
export function keptContext(operation: Operation): Context {
  const { node, viewer, service, rejected, floor, origin, requestId, cookies, onGone, sessionEnd } = operation;
  const kept = { node, viewer, service, rejected, floor, origin, requestId, cookies, onGone, sessionEnd };
  return contextOf({ ...kept, cache: {} });
}

/** The same without a snapshot: what one event of a subscription is executed in. */
export function freshContext(context: Context): Context {
  return Object.assign(keptContext(context), { floor: undefined });
}

/**
 * A fresh context that notes whether its viewer was read. What is answered without it is the same for everyone who may see
 * the event at all.
 */
export function observeViewer(context: Context): { context: Context; wasPersonal: () => boolean } {
  const plain = freshContext(context);
  let personal = false;
  const note = () => {
    personal = true;
  };
  const observed = Object.create(plain, {
    impersonally: { value: { context: plain, note } },
    viewer: {
      get() {
        note();
        return plain.viewer;
      },
    },
  }) as Context;
  return { context: observed, wasPersonal: () => personal };
}
