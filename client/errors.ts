import type { ErrorCode } from './generated/schema.ts';

export type { ErrorCode };

/** What the server answers with, and what a client finds out by itself. */
export type FailureCode = ErrorCode | 'UNREACHABLE' | 'TOO_MANY_SOCKETS' | 'CLOSED';

/** An error as GraphQL sends it. */
export interface GraphQLFailure {
  message: string;
  path?: readonly (string | number)[];
  extensions?: Record<string, unknown>;
}

/** What went wrong, in one shape for all clients. */
export interface Failure {
  code: FailureCode;
  /** In English, for a person: it says what to do next. */
  message: string;
  /** The argument that is meant, where the code is `BAD_USER_INPUT`. */
  path?: readonly (string | number)[];
  /** How long to wait, where the code is `RATE_LIMITED`. */
  retryAfterMs?: number;
  /** Under which the server's log has the details, where the code is `INTERNAL_SERVER_ERROR`. */
  requestId?: string;
}

/** What the chat client throws. */
export class ChatError extends Error implements Failure {
  override readonly name = 'ChatError';
  readonly code: FailureCode;
  /** All errors of the answer; empty where there was none. */
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

/** The error of an answer that has some. */
export function failed(errors: readonly GraphQLFailure[]): ChatError {
  const failure = errorOf(errors) ?? { code: 'INTERNAL_SERVER_ERROR', message: errors[0]?.message ?? 'It failed.' };
  return new ChatError(failure, errors);
}

/** The error of a server that did not answer. */
export function unreachable(message: string, cause?: unknown): ChatError {
  return new ChatError({ code: 'UNREACHABLE', message }, [], cause);
}

/** Whether something that was thrown or answered is a failure with this code, whichever client it came through. */
export function isChatError(error: unknown, code?: FailureCode): boolean {
  const found = errorOf(error);
  return found !== null && (code === undefined || found.code === code);
}

/**
 * What the server says went wrong, out of what a client throws: this one, Apollo Client, urql, graphql-request, and the
 * errors or the close event of graphql-ws. Null for anything else, such as a mistake in the program.
 */
export function errorOf(error: unknown): Failure | null {
  if (!isObject(error)) return null;
  if (error instanceof ChatError) return pick(error.code, error.message, error);
  for (const { message, extensions } of errorsIn(error)) {
    if (typeof message === 'string' && isObject(extensions) && typeof extensions.code === 'string')
      return pick(extensions.code as FailureCode, message, extensions);
  }
  if (typeof error.code === 'number' && typeof error.reason === 'string') return closed(error.code, error.reason);
  // urql keeps what was thrown beneath it.
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
