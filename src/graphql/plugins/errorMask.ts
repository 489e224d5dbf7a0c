import { randomUUID } from 'node:crypto';
import { GraphQLError, type GraphQLErrorExtensions } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import { ChatError, type ErrorCode, errorCodes } from '../../core/errors.ts';
import { isTransientDatabaseFailure } from '../../platform/database/failures.ts';
import { FileStoreError } from '../../platform/files/fileStore.ts';

/**
 * Maximum length of an error message, in characters. Longer messages are cut, because errors of graphql-js repeat
 * values that the client sent.
 */
const MAX_MESSAGE_LENGTH = 1_000;
/** Time after which clients may retry while the database or the file store cannot be reached, in milliseconds. They add their own backoff. */
const OUTAGE_RETRY_MS = 1_000;
/** HTTP response to an operation that was not executed because the database cannot be reached. */
const UNAVAILABLE = { status: 503, headers: { 'retry-after': String(OUTAGE_RETRY_MS / 1_000) } };

/**
 * Converts a failure into the error that clients see.
 *
 * @param requestId id of the request in the log; if omitted, an unexpected failure gets a new id
 */
export type ErrorMask = (error: unknown, requestId?: string) => GraphQLError;

/**
 * Creates the error mask of all transports. Clients receive a GraphQL error with an `ErrorCode` in `extensions.code`.
 * An unexpected failure is logged with all details. The client gets only `INTERNAL_SERVER_ERROR` and the id of the log
 * entry. While the database or the file store cannot be reached, the error has `retryAfterMs`, because the request is not
 * the cause.
 *
 * @param suggestions whether messages may include "Did you mean …?", which reveals names of the schema
 */
export function createErrorMask(log: Logger, suggestions = true): ErrorMask {
  return function mask(error, id) {
    const wrapper = error instanceof GraphQLError ? error : undefined;
    if (wrapper && isKnown(wrapper.extensions.code)) return wrapper;
    const cause = originalOf(error);
    const location = { nodes: wrapper?.nodes, path: wrapper?.path };

    if (cause instanceof ChatError) {
      return new GraphQLError(cause.message, { ...location, extensions: { code: cause.code, ...cause.details } });
    }
    if (cause instanceof GraphQLError) {
      // Thrown by parsing, validation or coercion: the document or its variables do not fit the schema.
      const { http, code } = cause.extensions;
      const { nodes, source, positions, path } = cause;
      // Suggestions would reveal the schema to a client that guesses names.
      const message = suggestions ? cause.message : cause.message.replace(/ ?Did you mean [^]*$/, '');
      const argument = argumentOf(wrapper, cause);
      return new GraphQLError(cutMessage(message), {
        nodes,
        source,
        positions,
        path,
        extensions: {
          code: isKnown(code) ? code : 'BAD_USER_INPUT',
          ...(argument ? { path: argument } : {}),
          ...(http ? { http: statusOf(http, code) } : {}),
        },
      });
    }
    // If Yoga calls this function, the second argument is a message and not a request id.
    const requestId = isRequestId(id) ? id : randomUUID();
    log.error({ err: cause, requestId, path: wrapper?.path }, 'Unforeseen failure');
    const isFileStore = cause instanceof FileStoreError;
    if (isFileStore || isTransientDatabaseFailure(cause))
      return new GraphQLError(
        `${isFileStore ? 'The store of files' : 'The server'} is temporarily unavailable. Try again in a moment.`,
        {
          ...location,
          extensions: {
            ...{ code: 'INTERNAL_SERVER_ERROR', requestId, retryAfterMs: OUTAGE_RETRY_MS },
            // A response with data has the status 200.
            ...(location.path ? {} : { http: UNAVAILABLE }),
          },
        },
      );
    return new GraphQLError('An unexpected error occurred. Try again. If it persists, report the request id.', {
      ...location,
      extensions: { code: 'INTERNAL_SERVER_ERROR', requestId },
    });
  };
}

/** Masks validation errors like any other error. */
export function maskValidation(mask: ErrorMask): Plugin {
  return {
    onValidate:
      () =>
      ({ result, setResult }) => {
        setResult(result.map((error) => mask(error)));
      },
  };
}

/** Maximum length of the part of a message that contains the path of an argument. Its names are those of the schema. */
const MAX_ARGUMENT_LENGTH = 500;

/**
 * Returns the path of the invalid part of a variable, such as `['input', 'users', '0', 'externalId']`. graphql-js has the
 * path only in the message of the outer error: `Variable "$input" got invalid value 17 at "input.users[0].externalId"; …`.
 */
function argumentOf(outer: GraphQLError | undefined, inner: GraphQLError): string[] | undefined {
  const variable = /^Variable "\$(\w+)" got invalid value /.exec(outer?.message ?? '')?.[1];
  if (outer === undefined || variable === undefined || !outer.message.endsWith(`; ${inner.message}`)) return undefined;
  const before = outer.message.slice(0, -`; ${inner.message}`.length);
  const path = / at "([^"]+)"$/.exec(before.slice(-MAX_ARGUMENT_LENGTH))?.[1] ?? variable;
  return path.split(/[.[\]]+/).filter((part) => part !== '');
}

function cutMessage(message: string): string {
  return message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH).toWellFormed()}…` : message;
}

/** Returns whether a text is safe as a request id in logs and responses: 8 to 64 letters, digits, `_` or `-`. */
export function isRequestId(text: unknown): text is string {
  return typeof text === 'string' && /^[\w-]{8,64}$/.test(text);
}

/** Returns the code that clients see for a failure after masking. */
export function codeOf(error: unknown): ErrorCode {
  const cause = originalOf(error);
  for (const each of [error, cause]) {
    if (each instanceof ChatError) return each.code;
    if (each instanceof GraphQLError && isKnown(each.extensions.code)) return each.extensions.code;
  }
  return cause instanceof GraphQLError ? 'BAD_USER_INPUT' : 'INTERNAL_SERVER_ERROR';
}

function originalOf(error: unknown): unknown {
  let cause = error;
  // Does not unwrap an error with an HTTP status. The transport has created that error for clients. The wrapped error,
  // such as a SyntaxError, is internal.
  while (cause instanceof GraphQLError && cause.originalError && !cause.extensions.http) cause = cause.originalError;
  return cause;
}

/**
 * Returns the HTTP options of an error. For a body that is not JSON, sets `spec` to false, so that every client
 * receives 400. With `spec: true`, Yoga responds with 200 to clients that accept application/json. GraphQL over HTTP
 * requires that only for documents with errors.
 */
function statusOf(http: GraphQLErrorExtensions['http'], code: unknown): GraphQLErrorExtensions['http'] {
  return code === 'BAD_REQUEST' ? { ...http, spec: false } : http;
}

function isKnown(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCodes, code);
}
