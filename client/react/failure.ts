import { errorOf, type Failure } from '../errors.ts';

/** Returns what went wrong in the one shape of all clients, also for an error that no server sent. */
export function failureOf(error: unknown): Failure {
  return errorOf(error) ?? { code: 'UNREACHABLE', message: error instanceof Error ? error.message : String(error) };
}
