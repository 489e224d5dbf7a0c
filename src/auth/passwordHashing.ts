import { hash, verify } from '@node-rs/argon2';
import pLimit from 'p-limit';
import { badInput } from '../core/errors.ts';
import { countCharacters } from '../core/text/text.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    passwords: Passwords;
  }
}

/** Cost parameters of one hash. `memoryCost` is in KiB. */
export interface HashCost {
  memoryCost: number;
  timeCost: number;
  parallelism: number;
}

/** OWASP's first choice for argon2id: 19 MiB, two passes, one lane. The library uses argon2id by default. */
const ARGON2: HashCost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

const LENGTH = { min: 8, max: 128 };
/**
 * Length above which a password is refused without being normalised, in UTF-16 units. A valid password has at most 128
 * characters and is always shorter, even in decomposed form.
 */
const MAX_UNITS = 1_024;

/**
 * Checks the length of a password and that it is well-formed Unicode.
 *
 * @throws ChatError `BAD_USER_INPUT` for a password that is too short, too long or malformed
 */
export function checkPassword(password: string, path: string): void {
  const length = countCharacters(password.length > MAX_UNITS ? password : normalise(password), LENGTH.max);
  if (length < LENGTH.min || length > LENGTH.max || !password.isWellFormed()) {
    throw badInput(path, `A password has ${LENGTH.min} to ${LENGTH.max} characters.`);
  }
}

/**
 * Returns a password in NFKC (RFC 8265 and NIST SP 800-63B). Keyboards encode é as one or two code points, and digits
 * in two widths. NFKC makes these forms equal.
 */
function normalise(password: string): string {
  return password.toWellFormed().normalize('NFKC');
}

export interface Passwords {
  /** Returns the salted argon2id hash of a password in PHC form. The password must have passed `checkPassword`. */
  hash(password: string): Promise<string>;
  /**
   * Returns true if the password matches the hash. If the account is unknown or has no password, checks a dummy hash
   * and returns false. The duration therefore does not reveal whether the account exists.
   */
  verify(password: string, passwordHash: string | null | undefined): Promise<boolean>;
}

/**
 * Creates the functions that hash and verify passwords. At most two hashes run at a time, because each takes 19 MiB and
 * a whole CPU core. A flood of sign-ins therefore does not block other requests. Tests pass a lower `cost`, because a
 * full hash takes 40 ms of CPU time.
 */
export async function createPasswords(cost: HashCost = ARGON2): Promise<Passwords> {
  const limit = pLimit(2);
  const dummyHash = await hash('a password that nobody has', cost);
  return {
    hash: (password) => limit(() => hash(normalise(password), cost)),
    verify: async (password, passwordHash) => {
      for (const form of formsOf(password)) {
        const matches = await limit(() => verify(passwordHash ?? dummyHash, form));
        if (matches && passwordHash != null) return true;
      }
      return false;
    },
  };
}

/**
 * Returns the normalised password, and the password as typed if it differs. Earlier releases hashed passwords as typed.
 * The number of hashes to check depends only on the password, so the duration of a failure reveals nothing about the
 * account. An over-long password becomes an empty text, which matches no hash.
 */
function formsOf(password: string): string[] {
  if (password.length > MAX_UNITS) return [''];
  const normalised = normalise(password);
  const typed = password.toWellFormed();
  return normalised === typed ? [normalised] : [normalised, typed];
}
