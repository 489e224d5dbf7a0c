import { errorOf, type Failure } from '@parley/client';

const UNREACHABLE = 'The server could not be reached. Check your connection and try again.';

/** Returns the text of an error for the user: the problem, and what to do next. */
export function wordError(error: unknown): string {
  const failure = errorOf(error);
  return failure ? wordFailure(failure) : UNREACHABLE;
}

/** Returns the text of a failure for the user. */
export function wordFailure({ code, message, retryAfterMs = 1_000 }: Failure): string {
  switch (code) {
    case 'UNREACHABLE':
      return UNREACHABLE;
    case 'RATE_LIMITED': {
      const seconds = Math.ceil(retryAfterMs / 1_000);
      return `You are doing that too often. Try again in ${seconds === 1 ? 'a second' : `${seconds} seconds`}.`;
    }
    case 'NOT_FOUND':
      return 'This no longer exists, or you no longer have access to it. You may have been removed from the room.';
    default:
      // Other messages of the server already tell the user what to do, for example to shorten a text.
      return message;
  }
}
