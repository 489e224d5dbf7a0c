import type { ErrorCode } from './generated/schema.ts';

export type { ErrorCode };

/** The server's error codes, and those that the client adds. */
export type FailureCode = ErrorCode | 'UNREACHABLE' | 'TOO_MANY_SOCKETS' | 'CLOSED';

/** An error of a GraphQL response. */
export interface GraphQLFailure {
  message: string;
  path?: readonly (string | number)[];
  extensions?: Record<string, unknown>;
}

/** An error of any supported client, in one common form. */
export interface Failure {
  code: FailureCode;
  /** English text for the user, which includes what to do next. */
  message: string;
  /** Path of the invalid argument if the code is `BAD_USER_INPUT`. */
  path?: readonly (string | number)[];
  /** Milliseconds until a retry is allowed, if the code is `RATE_LIMITED`. */
  retryAfterMs?: number;
  /** Id of the request in the server's log, which has the details, if the code is `INTERNAL_SERVER_ERROR`. */
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
 * Returns whether an error of any supported client, or a result with errors, has this code. Without `code`, returns
 * whether it has any code.
 */
export function isChatError(error: unknown, code?: FailureCode): boolean {
  const found = errorOf(error);
  return found !== null && (code === undefined || found.code === code);
}

/**
 * Returns whether a retry may succeed. After any other error, a retry would fail again, for example because the viewer
 * has left the room. An `INTERNAL_SERVER_ERROR` may be caused by the request itself, so limit its retries.
 */
export function isTemporary({ code }: Pick<Failure, 'code'>): boolean {
  return code === 'UNREACHABLE' || code === 'RATE_LIMITED' || code === 'INTERNAL_SERVER_ERROR';
}

/**
 * Extracts the server's error from an error of a supported client: this package, Apollo Client, urql, graphql-request
 * or graphql-ws. Also reads the close event of graphql-ws. Returns null for any other value, such as a bug in the
 * application.
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
  const { path, retryAfterMs, requestId } = details;
  return {
    ...{ code, message },
    ...(Array.isArray(path) ? { path: path as (string | number)[] } : {}),
    ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
    ...(typeof requestId === 'string' ? { requestId } : {}),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
