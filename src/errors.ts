/** The one way to fail: throw a {@link ChatError}. GraphQL shows its code in `extensions.code`. */

export const errorCodes = {
  BAD_USER_INPUT: 'An argument is not what the field takes; `extensions.path` names it.',
  UNAUTHENTICATED: 'Nobody is signed in, or the token is not one of ours. Sign in and send it again.',
  TOKEN_EXPIRED: 'The access token has run out. Call refreshSession and send it again.',
  INVALID_CREDENTIALS: 'No account has this name and this password.',
  FORBIDDEN: 'Your role, or the kind of your token, does not allow this.',
  NOT_FOUND: 'It does not exist, or not for you: the two look the same.',
  CONFLICT: 'It contradicts something stored before, such as the same clientMessageId with another body.',
  USERNAME_TAKEN: 'Someone has this username, perhaps in other letter case, or one that looks like it. Choose another.',
  EMAIL_TAKEN: 'Another account has verified this e-mail address. Sign in to it, or use another.',
  BLOCKED: 'One of the two has blocked the other.',
  RECIPIENT_OFFLINE: 'The user is not online, and nothing keeps the message for later.',
  RATE_LIMITED: 'Too many requests. Wait for `extensions.retryAfterMs` milliseconds.',
  RESYNC_REQUIRED: 'The cursor cannot be honoured any more. Query again and subscribe from the new cursor.',
  QUERY_TOO_COMPLEX: 'The operation asks for too much at once. Ask for less, or page.',
  INTERNAL_SERVER_ERROR: 'Our fault. The log has the details under `extensions.requestId`.',
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** A failure that the caller may see: its message tells a person what to do next. */
export class ChatError extends Error {
  override readonly name = 'ChatError';
  readonly code: ErrorCode;
  /** What else a client may rely on, such as `path` or `retryAfterMs`. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** `BAD_USER_INPUT` about the argument at `path`, e.g. `badInput('input.body', 'A message needs a body.')`. */
export function badInput(path: string, message: string): ChatError {
  return new ChatError('BAD_USER_INPUT', message, { path: path.split('.') });
}

/** What one may not see does not exist: the answer is the same for both. */
export function notFound(what: string): ChatError {
  return new ChatError('NOT_FOUND', `There is no such ${what}, or you may not see it.`);
}
