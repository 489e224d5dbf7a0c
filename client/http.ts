import { failed, type GraphQLFailure, isChatError, isTemporary, unreachable } from './errors.ts';
import { refusedOrigin } from './origin.ts';
import { warnOfRateLimit } from './rateLimit.ts';
import { type Session, SESSION_ENDED } from './session.ts';
import { backoff, wait, withAbortSignal } from './wait.ts';

/** The server's response to an operation. */
export interface Result<Data> {
  data?: Data | null;
  errors?: readonly GraphQLFailure[];
}

export interface RequestOptions {
  /** Cancels the request when the signal fires. */
  signal?: AbortSignal;
  /**
   * Retries the request after temporary errors, but stops after at most six internal server errors. Use this option for
   * queries, and for idempotent mutations such as `sendMessage` with a `clientMessageId`.
   */
  retry?: boolean;
  /**
   * Called each time the request is about to be sent: after it has waited for earlier messages of its room, and again
   * before each retry. The response is not older than this moment.
   */
  onSend?: () => void;
}

export interface HttpOptions {
  url: string;
  session: Session;
  fetch: typeof fetch;
  /** Called after the server has refused an operation, and the token could not be renewed. */
  onRefused: () => void;
  /** Fires when the client is closed. */
  closed: AbortSignal;
}

export type Request = (query: string, variables: object, options?: RequestOptions) => Promise<Result<unknown>>;

/** Timeout of a request. The server executes an operation for at most 10 s. */
const TIMEOUT_MS = 20_000;
/**
 * Timeout of `refreshSession`. After a lost response, the server accepts the used refresh token for 10 s. The timeout
 * leaves enough time for a retry.
 */
const REFRESH_TIMEOUT_MS = 4_000;
/** Maximum number of retries after an `INTERNAL_SERVER_ERROR`. Failures without a response do not count. */
const MAX_CRASHES = 5;

/** Creates the function that sends operations over HTTP. */
export function createRequest({ url, session, fetch, onRefused, closed }: HttpOptions): Request {
  /** Whether the page has read a response. The browser permits this only if the server allows the page's origin. */
  let isAllowed = false;

  async function post(
    body: string,
    token: string | null,
    signals: readonly AbortSignal[],
    timeoutMs = TIMEOUT_MS,
  ): Promise<Result<unknown>> {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json, application/json',
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    };
    let status = 0;
    try {
      const result = await withAbortSignal(timeoutMs, signals, async (signal): Promise<unknown> => {
        const response = await fetch(url, { method: 'POST', headers, body, signal });
        status = response.status;
        isAllowed = true;
        return response.json();
      });
      if (isResult(result)) return result;
    } catch (error) {
      const message = await explainSilence(error, signals);
      for (const signal of signals) signal.throwIfAborted();
      if (status === 0) throw unreachable(message, error);
    }
    // The response is not a GraphQL response. A proxy has probably sent it.
    throw unreachable(`The server cannot be reached (HTTP ${status}). Try again in a moment.`);
  }

  /** Returns the error text for a request without a response. */
  async function explainSilence(error: unknown, signals: readonly AbortSignal[]): Promise<string> {
    const origin = isAllowed || !(error instanceof TypeError) ? null : await refusedOrigin(url, signals);
    return origin === null
      ? 'The server cannot be reached. Check the connection and try again.'
      : `The server runs, but may not allow pages of ${origin}. Add this origin to ALLOWED_ORIGINS of the server.`;
  }

  /**
   * Sends the operation with the access token, and once more with a renewed token if the server refuses the first one.
   */
  async function postAuthorized(
    query: string,
    variables: object,
    signals: readonly AbortSignal[],
  ): Promise<Result<unknown>> {
    const body = JSON.stringify({ query, variables });
    const token = await session.token();
    // The application may send `refreshSession` with this client. Renewing the token here would be a deadlock, because
    // the renewal waits for this request.
    if (/\brefreshSession\b/.test(query)) return post(body, token.value, signals, REFRESH_TIMEOUT_MS);
    const result = await post(body, token.value, signals);
    if (!isRefused(result)) return result;
    if (!(await session.renew(token))) {
      onRefused();
      return token.isLost ? withSessionEnded(result) : result;
    }
    return post(body, (await session.token()).value, signals);
  }

  return async function request(query, variables, { signal: given, retry = false, onSend } = {}) {
    const signals = given ? [given, closed] : [closed];
    let crashes = 0;
    for (let failures = 0; ; failures += 1) {
      for (const signal of signals) signal.throwIfAborted();
      let pause = backoff(failures);
      onSend?.();
      try {
        const result = await postAuthorized(query, variables, signals);
        if (!retry || !result.errors) return result;
        const error = failed(result.errors);
        if (error.code === 'INTERNAL_SERVER_ERROR') crashes += 1;
        if (!isTemporary(error) || crashes > MAX_CRASHES) return result;
        pause = Math.max(pause, error.retryAfterMs ?? 0);
        warnOfRateLimit(error, pause, closed);
      } catch (error) {
        if (!retry || !isChatError(error, 'UNREACHABLE')) throw error;
      }
      await wait(pause, ...signals);
    }
  };
}

/** Replaces the server's message, which says how to send an access token, by one for a user who was signed in. */
function withSessionEnded(result: Result<unknown>): Result<unknown> {
  const errors = result.errors?.map((error) =>
    isChatError(error, 'UNAUTHENTICATED') ? { ...error, message: SESSION_ENDED } : error,
  );
  return { ...result, errors };
}

/** Returns whether the server refused an operation because of its token. */
export function isRefused({ errors }: Result<unknown>): boolean {
  return isChatError(errors, 'TOKEN_EXPIRED') || isChatError(errors, 'UNAUTHENTICATED');
}

function isResult(value: unknown): value is Result<unknown> {
  return typeof value === 'object' && value !== null && ('data' in value || 'errors' in value);
}
