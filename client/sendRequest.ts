import { isRefused, type Request } from './http.ts';
import type { Session } from './session.ts';
import type { Socket } from './socket.ts';

/** Sends an operation that may be executed twice, because each of its messages has a `clientMessageId`. */
export type SendRequest = (query: string, variables: object, signal: AbortSignal) => ReturnType<Request>;

/**
 * Maximum length of a request over the socket, in UTF-16 code units, so that it has at most 48 KB. The server closes the
 * socket after a message that is too large. Over HTTP, only the request fails.
 */
const MAX_LENGTH = 16_000;

/**
 * Creates the function that sends messages: over the socket while it is open, and otherwise over HTTP. A request is
 * repeated over HTTP if the socket closes before the result, if the server does not respond, or if the token has
 * expired.
 */
export function createSendRequest(options: { socket: Socket; session: Session; request: Request }): SendRequest {
  const { socket, session, request } = options;
  return async (query, variables, signal) => {
    const isShort = JSON.stringify({ query, variables }).length <= MAX_LENGTH;
    if (isShort && socket.accepts(await session.token())) {
      const result = await socket.request(query, variables, signal).catch(() => null);
      if (result && !isRefused(result)) return result;
    }
    // Throws the signal's reason if the signal has fired.
    return request(query, variables, { signal });
  };
}
