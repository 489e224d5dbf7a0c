import { randomUUID } from 'node:crypto';
import { GraphQLError, type GraphQLErrorExtensions } from 'graphql';
import type { Logger } from 'pino';
import { ChatError, type ErrorCode, errorCodes } from './errors.ts';

/** Longest message of an error, in characters. GraphQL repeats values of the client, once for each error. */
const MAX_MESSAGE_LENGTH = 1_000;

/** @param requestId under which the log has the request already; without one, the failure gets its own */
export type ErrorMask = (error: unknown, requestId?: string) => GraphQLError;

/**
 * Makes the one shape in which clients see a failure, on every transport: a GraphQL error whose
 * `extensions.code` is an `ErrorCode`. What nobody foresaw goes to the log with all its details, and to the
 * client as a code and the id under which the log has it.
 *
 * @param suggestions whether GraphQL may tell what could have been meant
 */
export function createErrorMask(log: Logger, suggestions = true): ErrorMask {
  return function mask(error, id) {
    const wrapper = error instanceof GraphQLError ? error : undefined;
    if (wrapper && isKnown(wrapper.extensions.code)) return wrapper;
    const cause = originalOf(error);
    const place = { nodes: wrapper?.nodes, path: wrapper?.path };

    if (cause instanceof ChatError) {
      return new GraphQLError(cause.message, { ...place, extensions: { code: cause.code, ...cause.details } });
    }
    if (cause instanceof GraphQLError) {
      // Parsing, validation and coercion: the document or its variables are not what the schema takes.
      const { http, code } = cause.extensions;
      const { nodes, source, positions, path } = cause;
      // What could have been meant tells the schema to whoever guesses.
      const message = suggestions ? cause.message : cause.message.replace(/ ?Did you mean [^]*$/, '');
      return new GraphQLError(cutMessage(message), {
        ...{ nodes, source, positions, path },
        extensions: { code: isKnown(code) ? code : 'BAD_USER_INPUT', ...(http ? { http: statusOf(http, code) } : {}) },
      });
    }
    // Yoga calls it with a sentence of its own in the second place.
    const requestId = isRequestId(id) ? id : randomUUID();
    log.error({ err: cause, requestId, path: wrapper?.path }, 'Unforeseen failure');
    return new GraphQLError('Something went wrong on our side. Try again; if it stays, report the request id.', {
      ...place,
      extensions: { code: 'INTERNAL_SERVER_ERROR', requestId },
    });
  };
}

function cutMessage(message: string): string {
  return message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH).toWellFormed()}…` : message;
}

/** Whether a text may stand in the log, and in an answer, as the name of a request. */
export function isRequestId(text: unknown): text is string {
  return typeof text === 'string' && /^[\w-]{8,64}$/.test(text);
}

/** The code under which clients see a failure, once it is masked. */
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
  // What has an HTTP status was refused by the transport, which wraps the reason, such as a SyntaxError.
  while (cause instanceof GraphQLError && cause.originalError && !cause.extensions.http) cause = cause.originalError;
  return cause;
}

/**
 * `spec` makes Yoga answer 200 to clients that accept application/json, as GraphQL over HTTP wants it for a
 * document with errors. A body that is no JSON at all is a bad request for all of them.
 */
function statusOf(http: GraphQLErrorExtensions['http'], code: unknown): GraphQLErrorExtensions['http'] {
  return code === 'BAD_REQUEST' ? { ...http, spec: false } : http;
}

function isKnown(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCodes, code);
}
