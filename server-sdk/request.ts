import { setTimeout as wait } from 'node:timers/promises';
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
import { ParleyError, type ParleyErrorDetails } from './errors.ts';

export interface RequestOptions {
  /** URL of the API, such as `https://chat.example.org/graphql`. */
  url: string;
  /** Service token, which `npm run admin -- create-service-token` prints. */
  token: string;
  /** Maximum duration of one attempt, in milliseconds. 15,000 by default: the server ends each request within 10 s. */
  timeoutMs?: number;
  /** Time for which an operation is retried, in milliseconds. 60,000 by default; 0 for no retries. */
  retryMs?: number;
}

/** A document with the types of its result and variables. */
export type Document<Result, Variables> = DocumentTypeDecoration<Result, Variables> & { toString(): string };

/**
 * Runs an operation and returns its data.
 *
 * @throws ParleyError if it fails
 */
export type Send = <Result, Variables>(
  document: Document<Result, Variables>,
  variables: Variables,
  /** Whether a retry is safe although an earlier attempt may have succeeded. True by default. */
  isIdempotent?: boolean,
) => Promise<Result>;

interface GraphQLResponse {
  data?: unknown;
  errors?: { message: string; extensions?: Omit<ParleyErrorDetails, 'message'> }[];
}

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;

/**
 * Creates the function that sends operations, and retries those that failed for a moment.
 *
 * @throws Error if the URL or the token is missing, which would otherwise look like a failure of the network
 */
export function createSend({ url, token, timeoutMs = 15_000, retryMs = 60_000 }: RequestOptions): Send {
  if (!URL.canParse(url))
    throw new Error(`"url" is ${String(url)}. Set the URL of the API, such as https://chat.example.org/graphql.`);
  if (!token)
    throw new Error('"token" is missing. Create a service token with `npm run admin -- create-service-token NAME`.');
  return async <Result, Variables>(
    document: Document<Result, Variables>,
    variables: Variables,
    isIdempotent = true,
  ): Promise<Result> => {
    const body = JSON.stringify({ query: document.toString(), variables });
    const deadline = Date.now() + retryMs;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await sendOnce<Result>({ url, token, timeoutMs }, body);
      } catch (error) {
        if (!(error instanceof ParleyError) || !isWorthRetry(error, isIdempotent)) throw error;
        const delay = error.retryAfterMs ?? backoff(attempt);
        if (Date.now() + delay > deadline) throw error;
        await wait(delay);
      }
    }
  };
}

/** Returns a random delay with full jitter, so that many clients do not retry together. */
function backoff(attempt: number): number {
  return Math.random() * Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
}

/** A refused operation had no effect. After any other failure, an earlier attempt may have succeeded. */
function isWorthRetry({ code, retryAfterMs }: ParleyError, isIdempotent: boolean): boolean {
  if (code === 'RATE_LIMITED') return true;
  return isIdempotent && (code === 'UNREACHABLE' || (code === 'INTERNAL_SERVER_ERROR' && retryAfterMs !== undefined));
}

async function sendOnce<Result>(
  { url, token, timeoutMs }: { url: string; token: string; timeoutMs: number },
  body: string,
): Promise<Result> {
  const { data, errors } = await post(url, token, timeoutMs, body);
  const [error] = errors ?? [];
  if (error) throw new ParleyError({ code: 'INTERNAL_SERVER_ERROR', ...error.extensions, message: error.message });
  return data as Result;
}

async function post(url: string, token: string, timeoutMs: number, body: string): Promise<GraphQLResponse> {
  let response;
  let text;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json',
        authorization: `Bearer ${token}`,
      },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    });
    text = await response.text();
  } catch (error) {
    throw new ParleyError(
      { code: 'UNREACHABLE', message: `${url} could not be reached. Check the URL and the network.` },
      { cause: error },
    );
  }
  try {
    return JSON.parse(text) as GraphQLResponse;
  } catch {
    // A proxy, or another path of the server, responds in place of the API.
    const code = response.status >= 500 ? 'UNREACHABLE' : 'INTERNAL_SERVER_ERROR';
    const message = `${url} responded with status ${response.status} and no JSON. The URL of the API ends in /graphql.`;
    throw new ParleyError({ code, message });
  }
}
