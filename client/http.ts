import { failed, type GraphQLFailure, isChatError, unreachable } from './errors.ts';
import { refusedOrigin } from './origin.ts';
import type { Session } from './session.ts';
import { backoff, wait, within } from './wait.ts';

/** What the server answers to an operation. */
export interface Result<Data> {
  data?: Data | null;
  errors?: readonly GraphQLFailure[];
}

export interface RequestOptions {
  /** Gives up when it fires. */
  signal?: AbortSignal;
  /**
   * Waits out a server that cannot be reached and asks again. For queries, and for mutations that may be sent twice, such as
   * `sendMessage` with a `clientMessageId`.
   */
  retry?: boolean;
}

export interface HttpOptions {
  url: string;
  session: Session;
  fetch: typeof fetch;
  /** Fires when the client is closed. */
  closed: AbortSignal;
}

export type Request = (query: string, variables: object, options?: RequestOptions) => Promise<Result<unknown>>;

/** The server takes at most 10 s for an operation. */
const TIMEOUT_MS = 20_000;
/** A lost answer to `refreshSession` must be noticed early enough to ask again while the server accepts the same token. */
const REFRESH_TIMEOUT_MS = 4_000;
/** What fails on the server so many times in a row will not succeed by itself. */
const MOST_FAILURES = 5;

/** Sends operations over HTTP. */
export function createRequest({ url, session, fetch, closed }: HttpOptions): Request {
  /** Whether the server has answered this page, so that its origin is allowed. */
  let isAllowed = false;

  async function ask(
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
      const result = await within(timeoutMs, signals, async (signal): Promise<unknown> => {
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
    // A proxy has answered in its place.
    throw unreachable(`The server cannot be reached (HTTP ${status}). Try again in a moment.`);
  }

  /** Returns the error text for a request without an answer. */
  async function explainSilence(error: unknown, signals: readonly AbortSignal[]): Promise<string> {
    const origin = isAllowed || !(error instanceof TypeError) ? null : await refusedOrigin(url, signals);
    return origin === null
      ? 'The server cannot be reached. Check the connection and try again.'
      : `The server runs, but may not allow pages of ${origin}. Add this origin to ALLOWED_ORIGINS of the server.`;
  }

  /** Asks with the token, and once more with a new one if it is refused. */
  async function askSignedIn(
    query: string,
    variables: object,
    signals: readonly AbortSignal[],
  ): Promise<Result<unknown>> {
    const body = JSON.stringify({ query, variables });
    const token = await session.token();
    // The refreshing itself may be done with this client: it must not wait for itself.
    if (/\brefreshSession\b/.test(query)) return ask(body, token.value, signals, REFRESH_TIMEOUT_MS);
    const result = await ask(body, token.value, signals);
    if (!isRefused(result)) return result;
    if (!(await session.renew(token))) return result;
    return ask(body, (await session.token()).value, signals);
  }

  return async function request(query, variables, { signal: given, retry = false } = {}) {
    const signals = given ? [given, closed] : [closed];
    for (let failures = 0; ; failures += 1) {
      for (const signal of signals) signal.throwIfAborted();
      let pause = backoff(failures);
      try {
        const result = await askSignedIn(query, variables, signals);
        const again = retry && result.errors ? waitOf(result.errors, failures) : null;
        if (again === null) return result;
        pause = Math.max(pause, again);
      } catch (error) {
        if (!retry || !isChatError(error, 'UNREACHABLE')) throw error;
      }
      await wait(pause, ...signals);
    }
  };
}

/** How long to wait at least before asking again; null where that would change nothing. */
function waitOf(errors: readonly GraphQLFailure[], failures: number): number | null {
  const { code, retryAfterMs = 0 } = failed(errors);
  if (code === 'RATE_LIMITED') return retryAfterMs;
  return code === 'INTERNAL_SERVER_ERROR' && failures < MOST_FAILURES ? 0 : null;
}

function isRefused({ errors }: Result<unknown>): boolean {
  return isChatError(errors, 'TOKEN_EXPIRED') || isChatError(errors, 'UNAUTHENTICATED');
}

function isResult(value: unknown): value is Result<unknown> {
  return typeof value === 'object' && value !== null && ('data' in value || 'errors' in value);
}
