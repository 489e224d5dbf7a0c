import { errorOf } from '@parley/client';

/** A failure in words for people: the server's own, or that it was not reached. Never a stack, never an object. */
export function wordError(error: unknown): string {
  return errorOf(error)?.message ?? 'The server could not be reached. Check your connection and try again.';
}
