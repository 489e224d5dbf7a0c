import { randomBytes } from 'node:crypto';
import { fitUsername, isUsername, MAX_USERNAME } from '../../core/text/names.ts';

/** Length of derived usernames before a suffix, in characters. */
const BASE_LENGTH = 20;

/**
 * Returns the valid username that is closest to a name of another application. Null if nothing of the name is valid, such
 * as for two letters.
 */
export function fitted(name: string): string | null {
  const normal = name.length > 4 * MAX_USERNAME ? name : name.normalize('NFKC');
  if (isUsername(normal)) return normal;
  const fit = fitUsername(name, MAX_USERNAME, '');
  return isUsername(fit) ? fit : null;
}

/**
 * Yields usernames to try for a new user. A given username is the only one. Otherwise they are derived from names,
 * and end in random digits if they are taken. A counter, as OpenID sign-in appends it, would need as many statements as
 * there are users of one name. The external id is not part of a name, because other users do not see it.
 */
export function* candidates(username: string | null, names: readonly string[]): Generator<string, undefined> {
  if (username !== null) {
    yield username;
    return;
  }
  const bases = names.map((name) => fitUsername(name, BASE_LENGTH, '')).filter(isUsername);
  yield* bases;
  const [base = 'user'] = bases;
  for (let bytes = 3; bytes <= 5; bytes += 1) yield `${base}-${randomBytes(bytes).toString('hex')}`;
}
