/**
 * Error codes that clients may see. To fail with a code, throw a {@link ChatError}. GraphQL returns the code in
 * `extensions.code`.
 */
export const errorCodes = {
  BAD_USER_INPUT: 'An argument is invalid; `extensions.path` names it.',
  UNAUTHENTICATED: 'The request has no token, or the token is invalid. Sign in and send the new token.',
  TOKEN_EXPIRED: 'The access token has expired. Call refreshSession and send the new token.',
  INVALID_CREDENTIALS: 'The name, the password or the ID token is wrong. Correct the wrong value and try again.',
  FORBIDDEN: 'Your role or your type of token does not allow this, or your account is suspended.',
  NOT_FOUND: 'The object does not exist, or you may not see it. Both cases return this error.',
  CONFLICT: 'The request contradicts stored data. For example, its clientMessageId was sent before with other content.',
  USERNAME_TAKEN:
    'Another account has this username or one that looks alike. Letter case is ignored. Choose another username.',
  EMAIL_TAKEN: 'Another account has verified this e-mail address. Sign in to that account, or use another address.',
  BLOCKED: 'One of the two users has blocked the other.',
  MUTED: 'You are muted in this chatroom until `extensions.until`. You can still read messages, and delete your own.',
  RECIPIENT_OFFLINE:
    'The recipient is not online. The notice was not delivered, and the server does not store notices to users.',
  RATE_LIMITED: 'Too many requests. Wait for `extensions.retryAfterMs` milliseconds.',
  LIMIT_REACHED:
    'A limit is reached: `extensions.limit` is the maximum number of objects, or of bytes. Remove one first.',
  RESYNC_REQUIRED: 'The cursor is no longer valid. Query the data again, and subscribe from the new cursor.',
  QUERY_TOO_COMPLEX: 'The operation selects too much. Select fewer fields, or load smaller pages.',
  INTERNAL_SERVER_ERROR:
    'The server failed. The log of the server has the details under `extensions.requestId`. With `extensions.retryAfterMs`, the server is temporarily unavailable: try again after this number of milliseconds.',
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** Error whose code and message are sent to the client. The message says what to do next. */
export class ChatError extends Error {
  override readonly name = 'ChatError';
  readonly code: ErrorCode;
  /** Additional fields of `extensions`, such as `path`, `retryAfterMs`, `limit` or `until`. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/**
 * Returns a `BAD_USER_INPUT` error about the argument at `path`, e.g.
 * `badInput('input.body', 'A message needs a body.')`.
 */
export function badInput(path: string, message: string): ChatError {
  return new ChatError('BAD_USER_INPUT', message, { path: path.split('.') });
}

/**
 * Returns the `NOT_FOUND` error. The error is the same for an object that does not exist and for an object that the
 * viewer may not see.
 */
export function notFound(what: string): ChatError {
  return new ChatError('NOT_FOUND', `There is no such ${what}, or you may not see it.`);
}
