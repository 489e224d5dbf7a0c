import type { Logger } from 'pino';
import type { BotScope } from './botScopes.ts';
import { ChatError } from './errors.ts';
import type { Scope } from './scopes.ts';

/**
 * Services of one node, created once by `createNode`. Each module adds its own service to this interface with `declare
 * module`. This file therefore does not import these modules, which avoids import cycles.
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
  /** Set if the user is a bot that has signed in with its token. */
  bot?: Bot;
}

/** Owner and rights of a bot. */
export interface Bot {
  ownerId: string;
  scopes: readonly BotScope[];
}

/** A program with a service token. */
export interface Service {
  name: string;
  /** Rights of the service. */
  scopes: readonly Scope[];
}

/** Address and user agent of a request, as shown in the list of sessions. */
export interface ClientInfo {
  ipAddress: string | null;
  userAgent: string | null;
}

/** Facts about an operation that become known during its execution. */
export interface Outcome {
  /**
   * Set before an operation ends its own session. The socket then closes only after the result of the operation has been
   * sent.
   */
  endsSession: boolean;
  /** Whether a mutation has been charged. It then pays for its WebSocket message, too. */
  isCharged: boolean;
}

/** Values of one operation. GraphQL Yoga and its plugins receive this object and may copy it. */
export interface Operation {
  /** Services of the node that runs the operation. They are one property, so that copying this object stays cheap. */
  node: ServerNode;
  /** Signed-in user and session, or null. */
  viewer: AccessClaims | null;
  /** Service that sent the request, or null. Never set together with `viewer`. */
  service: Service | null;
  /** Error of an invalid token, or null. Fields that need a viewer throw this error. */
  authError: ChatError | null;
  /**
   * Database snapshot taken before every other read of the operation; see `RoomCursor.asOf`. Read it with
   * {@link snapshotOf}. Undefined if nobody is signed in, and for an event of a subscription. Null if the document
   * selects no field that reads it, because the operation then takes no snapshot.
   */
  asOf: string | null | undefined;
  client: ClientInfo;
  /** Id of the operation in log entries. */
  requestId: string;
  /**
   * Registers a listener for the disconnect of an HTTP client. Returns a function that removes the listener. Null over
   * WebSocket.
   */
  onDisconnect: ((listener: () => void) => () => void) | null;
  outcome: Outcome;
  /** Key of this operation's values in the caches of all loaders. Assign a new object to discard all cached values. */
  cache: object;
}

/** Context of one operation on one node. Each event of a subscription has a new context. */
export interface Context extends ServerNode, Operation {
  /** Set in an execution whose result several subscribers may receive. See `trackViewer`. */
  viewerTracking?: ViewerTracking;
}

/** Record of what a shared execution has read of its viewer. Modules that record more declare it with `declare module`. */
export interface ViewerTracking {
  /** Whether `viewer` was read. The result then belongs to this viewer alone. */
  viewerWasRead: boolean;
  /** Functions that return whether values read from memory are still current. Called before each delivery. */
  checks: (() => boolean)[];
  /** True for the body of a webhook, which shows a room as its operator sees it: blocks between users hide nothing. */
  ignoresBlocks?: boolean;
}

/**
 * Returns the signed-in user.
 *
 * @throws ChatError `UNAUTHENTICATED` or `TOKEN_EXPIRED` if nobody is signed in; `FORBIDDEN` for a service
 */
export function requireViewer(context: Context): AccessClaims {
  if (context.viewer) return context.viewer;
  if (context.service) {
    throw new ChatError('FORBIDDEN', 'A service token cannot do this. Sign in as a user.');
  }
  throw (
    context.authError ??
    new ChatError('UNAUTHENTICATED', 'Sign in first, and send the access token as "Authorization: Bearer TOKEN".')
  );
}

/**
 * Checks that a service sent the operation, and that its token has one of the scopes.
 *
 * @returns the name of the service
 * @throws ChatError `FORBIDDEN` for users, and for a service without the scope; `UNAUTHENTICATED` or `TOKEN_EXPIRED` if
 *   nobody is signed in
 */
export function requireScope(context: Context, ...allowed: readonly [Scope, ...Scope[]]): string {
  const { service } = context;
  if (!service) {
    requireViewer(context);
    throw new ChatError('FORBIDDEN', 'Users cannot do this. Send the request with a service token.');
  }
  if (!allowed.some((scope) => service.scopes.includes(scope)))
    throw new ChatError(
      'FORBIDDEN',
      `The service token lacks the scope ${allowed[0]}. Create a token with \`npm run admin -- create-service-token NAME --scopes ${allowed[0]}\`.`,
    );
  return service.name;
}

/**
 * Returns the snapshot of an operation for a cursor. Undefined if nobody is signed in, and for an event of a
 * subscription. A field whose resolver calls this function must have `extensions: readsSnapshot`
 * (graphql/snapshotFields.ts).
 *
 * @throws Error if the operation has taken no snapshot, because a later snapshot could be newer than its other fields
 */
export function snapshotOf({ asOf }: Pick<Operation, 'asOf'>): string | undefined {
  if (asOf === null) throw new Error('This operation has no snapshot. Give its field `extensions: readsSnapshot`.');
  return asOf;
}

/**
 * Creates the context of an operation. The services of the node are the prototype of the context. Copying some forty
 * services would take 26 µs, a tenth of the time of a small operation. V8 would also store so many properties in a
 * dictionary, which slows down every access.
 */
export function executionContext(operation: Operation): Context {
  return Object.assign(Object.create(operation.node) as ServerNode, operation);
}

/**
 * Creates the context that a subscription keeps. Copies only the fields below, so that the subscription does not retain
 * the whole request.
 */
export function subscriptionContext(operation: Operation): Context {
  const { node, viewer, service, authError, asOf, client, requestId, cookies, onDisconnect, outcome } = operation;
  const copied = { node, viewer, service, authError, asOf, client, requestId, cookies, onDisconnect, outcome };
  return executionContext({ ...copied, cache: {} });
}

/** Creates the context in which one event of a subscription is executed. The context has no `asOf` snapshot. */
export function eventContext(context: Context): Context {
  return Object.assign(subscriptionContext(context), { asOf: undefined } satisfies Partial<Context>);
}

/**
 * Creates the context of a read in one state of the database.
 *
 * @param node the services of the node, with a database that reads that state
 * @param asOf the state as a `pg_snapshot`
 */
export function contextIn(context: Context, node: ServerNode, asOf: string): Context {
  const { viewer, service, authError, client, requestId, cookies, onDisconnect, outcome } = context;
  return executionContext({
    ...{ node, viewer, service, authError, asOf, client, requestId, cookies, onDisconnect, outcome },
    cache: {},
  });
}

/** Id of no session. A service that acts as a user has no session. */
const NO_SESSION = '00000000-0000-0000-0000-000000000000';

/**
 * Creates the context in which a service acts as a user: what the user may not do fails, and `requireViewer` returns the
 * user. Use it only for the action. The result belongs to the service, which may not see all that the user sees, so
 * resolve the result in the context of the service.
 *
 * @param bot set if the user is a bot
 */
export function actingAs(context: Context, userId: string, bot: Bot | null = null): Context {
  return Object.assign(eventContext(context), {
    viewer: { userId, sessionId: NO_SESSION, expiresAt: new Date(8.64e15), ...(bot ? { bot } : {}) },
    service: null,
  } satisfies Partial<Context>);
}

/**
 * Creates a new context that records in `tracking` whether `viewer` was read. If `viewer` was not read, the result is the
 * same for everyone who may see the event, except for its personal fields (graphql/personalFields.ts).
 */
export function trackViewer(context: Context, tracking: ViewerTracking): Context {
  const untracked = eventContext(context);
  return Object.create(untracked, {
    viewerTracking: { value: tracking },
    viewer: {
      get() {
        tracking.viewerWasRead = true;
        return untracked.viewer;
      },
    },
  }) as Context;
}
