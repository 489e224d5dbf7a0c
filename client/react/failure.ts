import { errorOf, type Failure } from '../errors.ts';

/** Converts any error to a `Failure`. An error without an error code becomes `UNREACHABLE`. */
export function failureOf(error: unknown): Failure {
  return errorOf(error) ?? { code: 'UNREACHABLE', message: error instanceof Error ? error.message : String(error) };
}
