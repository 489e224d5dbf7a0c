import type { ErrorCode } from './generated/schema.ts';

export type { ErrorCode };

/** Error codes of the server and of the client. */
export type FailureCode = ErrorCode | 'UNREACHABLE' | 'TOO_MANY_SOCKETS' | 'CLOSED';

/** An error of a GraphQL response. */
export interface GraphQLFailure {
  message: string;
  path?: readonly (string | number)[];
  extensions?: Record<string, unknown>;
}

/** An error of this package, Apollo Client, urql, graphql-request or graphql-ws, in a common form. */
export interface Failure {
  code: FailureCode;
  /** English text to show to the user, with advice. */
  message: string;
  /** Path of the invalid argument if the code is `BAD_USER_INPUT`. */
  path?: readonly (string | number)[];
  /**
   * Milliseconds until a retry is allowed, if the code is `RATE_LIMITED`. For an `INTERNAL_SERVER_ERROR`, set only if the
   * server is temporarily unavailable, for example because its database restarts.
   */
  retryAfterMs?: number;
  /** Maximum number of objects if the code is `LIMIT_REACHED`. */
  limit?: number;
  /** Time at which the mute ends if the code is `MUTED`, as an ISO 8601 string. */
  until?: string;
  /** Request id if the code is `INTERNAL_SERVER_ERROR`. The server's log has the details under this id. */
  requestId?: string;
}

/** The error that the chat client throws. */
export class ChatError extends Error implements Failure {
  override readonly name = 'ChatError';
  readonly code: FailureCode;
  /** All errors of the response; empty if there was no response. */
  readonly graphQLErrors: readonly GraphQLFailure[];
  declare readonly path?: readonly (string | number)[];
  declare readonly retryAfterMs?: number;
  declare readonly limit?: number;
  declare readonly until?: string;
  declare readonly requestId?: string;

  constructor({ code, message, ...details }: Failure, graphQLErrors: readonly GraphQLFailure[] = [], cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.graphQLErrors = graphQLErrors;
    Object.assign(this, details);
  }
}

/** Creates the error for a response with GraphQL errors. */
export function failed(errors: readonly GraphQLFailure[]): ChatError {
  const failure = errorOf(errors) ?? {
    code: 'INTERNAL_SERVER_ERROR',
    message: errors[0]?.message ?? 'The request failed.',
  };
  return new ChatError(failure, errors);
}

/** Creates the error for a request without a response. */
export function unreachable(message: string, cause?: unknown): ChatError {
  return new ChatError({ code: 'UNREACHABLE', message }, [], cause);
}

/**
 * Returns whether an error has this code, or has any code if `code` is omitted. Accepts the same values as `errorOf`.
 */
export function isChatError(error: unknown, code?: FailureCode): boolean {
  const found = errorOf(error);
  return found !== null && (code === undefined || found.code === code);
}

/**
 * Returns whether a retry may succeed: after a lost connection, a rate limit or an internal server error. Limit the
 * retries after a crash ({@link isCrash}).
 */
export function isTemporary({ code }: Pick<Failure, 'code'>): boolean {
  return code === 'UNREACHABLE' || code === 'RATE_LIMITED' || code === 'INTERNAL_SERVER_ERROR';
}

/**
 * Returns whether the request itself may have caused the error, so that it must not be retried without a limit. An
 * `INTERNAL_SERVER_ERROR` with `retryAfterMs` means that the server is temporarily unavailable.
 */
export function isCrash({ code, retryAfterMs }: Pick<Failure, 'code' | 'retryAfterMs'>): boolean {
  return code === 'INTERNAL_SERVER_ERROR' && retryAfterMs === undefined;
}

/**
 * Extracts the server's error from an error of this package, Apollo Client, urql, graphql-request or graphql-ws. Also
 * accepts a close event of graphql-ws, and a result with errors. Returns null if the value has no error code.
 */
export function errorOf(error: unknown): Failure | null {
  if (!isObject(error)) return null;
  if (error instanceof ChatError) return pick(error.code, error.message, error);
  for (const { message, extensions } of errorsIn(error)) {
    if (typeof message === 'string' && isObject(extensions) && typeof extensions.code === 'string')
      return pick(extensions.code as FailureCode, message, extensions);
  }
  if (typeof error.code === 'number' && typeof error.reason === 'string') return closed(error.code, error.reason);
  // urql wraps the error of its transport in `networkError`.
  return errorOf(error.networkError);
}

const CLOSE_CODES: Record<number, FailureCode> = {
  4401: 'UNAUTHENTICATED',
  4403: 'TOKEN_EXPIRED',
  4420: 'TOO_MANY_SOCKETS',
};

function closed(code: number, reason: string): Failure {
  return { code: CLOSE_CODES[code] ?? 'UNREACHABLE', message: reason || 'The connection was lost.' };
}

function errorsIn(error: Record<string, unknown>): Record<string, unknown>[] {
  const response = isObject(error.response) ? error.response : {};
  for (const list of [error, error.graphQLErrors, error.errors, response.errors])
    if (Array.isArray(list) && list.length > 0) return list.filter(isObject);
  return [error];
}

function pick(code: FailureCode, message: string, details: Record<string, unknown>): Failure {
  const { path, retryAfterMs, limit, until, requestId } = details;
  return {
    ...{ code, message },
    ...(Array.isArray(path) ? { path: path as (string | number)[] } : {}),
    ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
    ...(typeof limit === 'number' ? { limit } : {}),
    ...(typeof until === 'string' ? { until } : {}),
    ...(typeof requestId === 'string' ? { requestId } : {}),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
