import { errorOf, type Failure } from '@parley/client';

const UNREACHABLE = 'The server could not be reached. Check your connection and try again.';

/** An error in words for people: what is wrong, and what to do next. Never a stack, never an object. */
export function wordError(error: unknown): string {
  const failure = errorOf(error);
  return failure ? wordFailure(failure) : UNREACHABLE;
}

/** A failure in words for people. */
export function wordFailure({ code, message, retryAfterMs = 1_000 }: Failure): string {
  switch (code) {
    case 'UNREACHABLE':
      return UNREACHABLE;
    case 'RATE_LIMITED': {
      const seconds = Math.ceil(retryAfterMs / 1_000);
      return `That was too much at once. Try again in ${seconds === 1 ? 'a second' : `${seconds} seconds`}.`;
    }
    case 'NOT_FOUND':
      return 'This is not there any more, or you may not see it. You may have been removed from the room.';
    default:
      // The server says what to do, such as for a text that is too long, or too many reactions.
      return message;
  }
}
