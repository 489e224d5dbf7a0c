import { hash, verify } from '@node-rs/argon2';
import pLimit from 'p-limit';
import { badInput } from '../errors.ts';
import { countCharacters } from '../text/text.ts';

/** What one hash costs. `memoryCost` is in KiB. */
export interface HashCost {
  memoryCost: number;
  timeCost: number;
  parallelism: number;
}

/** OWASP's first choice of argon2id parameters: 19 MiB, two passes, one lane (argon2id is the default). */
const ARGON2: HashCost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

const LENGTH = { least: 8, most: 128 };
/**
 * Longest text that is normalised, in UTF-16 units. 128 characters have fewer, decomposed too; a longer text is nobody's
 * password.
 */
const MAX_UNITS = 1_024;

/** @throws ChatError `BAD_USER_INPUT` for a password that is too short or too long */
export function checkPassword(password: string, path: string): void {
  const length = countCharacters(password.length > MAX_UNITS ? password : normalise(password), LENGTH.most);
  if (length < LENGTH.least || length > LENGTH.most || !password.isWellFormed()) {
    throw badInput(path, `A password has ${LENGTH.least} to ${LENGTH.most} characters.`);
  }
}

/**
 * Keyboards send é as one character or as two, and digits in two widths. NFKC makes them one password (RFC 8265 and
 * NIST SP 800-63B).
 */
function normalise(password: string): string {
  return password.toWellFormed().normalize('NFKC');
}

export interface Passwords {
  /** Returns the salted argon2id hash of a password in PHC form. Takes a password that was checked. */
  hash(password: string): Promise<string>;
  /** Whether the password fits. Takes as long for an account that has none, or that does not exist. */
  fits(password: string, passwordHash: string | null | undefined): Promise<boolean>;
}

/**
 * Hashing for one node. Two at a time: each takes 19 MiB and a core, and a flood of sign-ins must not stop
 * the rest. Tests pass a lower cost, because a full hash takes 40 ms of CPU.
 */
export async function createPasswords(cost: HashCost = ARGON2): Promise<Passwords> {
  const limit = pLimit(2);
  const nobodys = await hash('a password that nobody has', cost);
  return {
    hash: (password) => limit(() => hash(normalise(password), cost)),
    fits: async (password, passwordHash) => {
      for (const form of formsOf(password)) {
        const fits = await limit(() => verify(passwordHash ?? nobodys, form));
        if (fits && passwordHash != null) return true;
      }
      return false;
    },
  };
}

/**
 * The forms under which a password may be hashed: earlier releases hashed it as it was typed. How many there are depends
 * on the password alone, so that the time of a failure says nothing about the account.
 */
function formsOf(password: string): string[] {
  if (password.length > MAX_UNITS) return [''];
  const normalised = normalise(password);
  const typed = password.toWellFormed();
  return normalised === typed ? [normalised] : [normalised, typed];
}
