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

/** @throws ChatError `BAD_USER_INPUT` for a password that is too short or too long */
export function checkPassword(password: string, path: string): void {
  const length = countCharacters(password, LENGTH.most);
  if (length < LENGTH.least || length > LENGTH.most || !password.isWellFormed()) {
    throw badInput(path, `A password has ${LENGTH.least} to ${LENGTH.most} characters.`);
  }
}

export interface Passwords {
  /** The argon2id hash of a password, salted, in PHC form. */
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
    hash: (password) => limit(() => hash(password, cost)),
    fits: async (password, passwordHash) => {
      const fits = await limit(() => verify(passwordHash ?? nobodys, password.toWellFormed()));
      return fits && passwordHash != null;
    },
  };
}
