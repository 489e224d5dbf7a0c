/** Details of an error that the server returned. */
export interface ParleyErrorDetails {
  code: string;
  message: string;
  /** Path of the invalid argument, such as `['input', 'users', 3, 'username']`. */
  path?: readonly (string | number)[] | undefined;
  /** Time after which a retry can succeed, in milliseconds. */
  retryAfterMs?: number | undefined;
  /** Id of the operation in the log of the server. */
  requestId?: string | undefined;
}

/** Thrown when an operation fails. `code` is an `ErrorCode` of the schema, or UNREACHABLE if no response arrived. */
export class ParleyError extends Error {
  override readonly name = 'ParleyError';
  readonly code: string;
  readonly path: readonly (string | number)[] | undefined;
  readonly retryAfterMs: number | undefined;
  readonly requestId: string | undefined;

  constructor({ code, message, path, retryAfterMs, requestId }: ParleyErrorDetails, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.path = path;
    this.retryAfterMs = retryAfterMs;
    this.requestId = requestId;
  }
}
