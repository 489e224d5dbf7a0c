import { authenticate, clientInfo } from '../auth/sessions.ts';
import { type Context, executionContext, type Operation, type ClientInfo, type ServerNode } from '../core/context.ts';
import { createUuid } from '../core/globalIds.ts';

/** Credentials of an operation, and the client that sent the operation. */
export interface RequestCredentials {
  /** The Authorization header, or the `authorization` parameter of the WebSocket. */
  authorization: unknown;
  /** Address and device of the client. */
  client?: ClientInfo;
  requestId?: string | undefined;
  cookies?: Context['cookies'];
  onDisconnect?: Context['onDisconnect'];
}

/**
 * Authenticates the client and creates an operation with an empty cache. For an invalid credential, stores the error in
 * `authError` instead of throwing it.
 *
 * @param needsSnapshot whether the operation may call `snapshotOf`
 */
export async function createOperation(
  node: ServerNode,
  credentials: RequestCredentials,
  needsSnapshot: boolean,
): Promise<Operation> {
  const { authorization, client = clientInfo(undefined, null), cookies = null, onDisconnect = null } = credentials;
  const { requestId = createUuid() } = credentials;
  const { viewer, service, authError, asOf } = await authenticate(node, authorization, needsSnapshot, client);
  const outcome = { endsSession: false, isCharged: false };
  return { node, viewer, service, authError, asOf, client, requestId, cookies, onDisconnect, outcome, cache: {} };
}

/** Creates the context of an operation that does not go through GraphQL. */
export async function createContext(node: ServerNode, credentials: RequestCredentials): Promise<Context> {
  return executionContext(await createOperation(node, credentials, true));
}
