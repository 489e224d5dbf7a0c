import type { Logger } from 'pino';
import { ChatError } from './errors.ts';

/**
 * Services of one node, created once by `createNode`. A module declares the service that it provides with `declare
 * module`. This file therefore imports no service, which avoids cyclic imports of types.
 */
export interface ServerNode {
  log: Logger;
  /** URL at which people reach the server, without a trailing slash. */
  publicUrl: string;
  /** Whether strangers may create accounts. */
  allowsSignUp: boolean;
  /** Number of days for which the logs of rooms are kept. An older cursor is refused. */
  logDays: number;
  /** Closes connections and timers. */
  close(): Promise<void>;
}

/** Claims of a valid access token: the signed-in user and the session. */
export interface AccessClaims {
  userId: string;
  sessionId: string;
  expiresAt: Date;
}

/** A program with a service token. A service may send system messages and nothing else. */
export interface Service {
  name: string;
}

/** Address and user agent of a request, as shown in the list of sessions. */
export interface ClientInfo {
  ipAddress: string | null;
  userAgent: string | null;
}

/**
 * Values of one operation, in addition to the services of its node. GraphQL Yoga and its plugins receive this object
 * and may copy it.
 */
export interface Operation {
  /** Node that runs the operation. A single property, so that copying the object stays cheap. */
  node: ServerNode;
  /** Signed-in user and session, or null. */
  viewer: AccessClaims | null;
  /** Service that sent the request, or null. Never set together with `viewer`. */
  service: Service | null;
  /** Reason why the token that was sent is not valid, or null. */
  authError: ChatError | null;
  /** Snapshot of the operation's first statement, taken before every other read; see `RoomCursor.asOf`. */
  asOf: string | undefined;
  client: ClientInfo;
  /** Id of the operation in the log. */
  requestId: string;
  /**
   * Registers a listener for the disconnect of an HTTP client, and returns a function that removes it. Null over
   * WebSocket.
   */
  onDisconnect: ((listener: () => void) => () => void) | null;
  /**
   * An operation that ends its own session sets `isExpected` first. The socket then closes after the result of the
   * operation, not before.
   */
  sessionEnd: { isExpected: boolean };
  /** Object by which loaders cache the values of this operation. Assign a new object to clear all loader caches. */
  cache: object;
}

/** Context of one operation on one node. Each event of a subscription has a new context. */
export interface Context extends ServerNode, Operation {
  /**
   * Set while viewer access is tracked: the untracked context, and the callback that records a read. See `trackViewer`.
   */
  viewerTracking?: { context: Context; note: () => void };
}

/**
 * Returns the signed-in user.
 *
 * @throws ChatError `UNAUTHENTICATED` or `TOKEN_EXPIRED`; `FORBIDDEN` for a service
 */
export function requireViewer(context: Context): AccessClaims {
  if (context.viewer) return context.viewer;
  if (context.service) {
    throw new ChatError('FORBIDDEN', 'A service token sends system messages and nothing else. Sign in as a user.');
  }
  throw (
    context.authError ??
    new ChatError('UNAUTHENTICATED', 'Sign in first, and send the access token as "Authorization: Bearer TOKEN".')
  );
}

/**
 * Creates the context of an operation. The context inherits the services of its node through the prototype. Copying
 * these services instead, some forty fields, would take 26 µs, a tenth of the total time of a small operation. V8 also
 * stores an object with that many own properties as a dictionary, which makes every property access slow.
 */
export function executionContext(operation: Operation): Context {
  return Object.assign(Object.create(operation.node) as ServerNode, operation);
}

/**
 * Creates the context that a subscription retains: the fields below and an empty cache, nothing else of the request.
 */
export function subscriptionContext(operation: Operation): Context {
  const { node, viewer, service, authError, asOf, client, requestId, cookies, onDisconnect, sessionEnd } = operation;
  const kept = { node, viewer, service, authError, asOf, client, requestId, cookies, onDisconnect, sessionEnd };
  return executionContext({ ...kept, cache: {} });
}

/** Creates the context in which one event of a subscription is executed. The context has no `asOf` snapshot. */
export function eventContext(context: Context): Context {
  return Object.assign(subscriptionContext(context), { asOf: undefined } satisfies Partial<Context>);
}

/**
 * Creates a new context that records whether `viewer` was read. If `viewer` was not read, the result is the same for
 * everyone who may see the event.
 */
export function trackViewer(context: Context): { context: Context; viewerWasRead: () => boolean } {
  const untracked = eventContext(context);
  let wasRead = false;
  const note = () => {
    wasRead = true;
  };
  const tracked = Object.create(untracked, {
    viewerTracking: { value: { context: untracked, note } },
    viewer: {
      get() {
        note();
        return untracked.viewer;
      },
    },
  }) as Context;
  return { context: tracked, viewerWasRead: () => wasRead };
}
