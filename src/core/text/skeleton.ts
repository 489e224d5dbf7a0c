import { CONFUSABLES } from './confusables.ts';

const parse = (codes: string) => String.fromCodePoint(...codes.split('+').map((code) => Number.parseInt(code, 16)));

const prototypes = new Map(
  CONFUSABLES.trim()
    .split(/\s+/)
    .flatMap((entry) => {
      const [prototype = '', lookAlikes = ''] = entry.split('<');
      return lookAlikes.split(',').map((lookAlike) => [parse(lookAlike), parse(prototype)] as const);
    }),
);

/**
 * Returns the skeleton of a username (Unicode Technical Standard 39), in lower case. Usernames that look alike have the
 * same skeleton, such as `paypaI` and `paypal`, or Latin `ape` and Cyrillic `аре`.
 *
 * Pass the name as displayed, because a capital I looks like l and a small i does not. The name must be stored, or have
 * passed `checkUsername`.
 */
export function skeletonOf(username: string): string {
  // U+0640 is removed because it only stretches Arabic letters.
  const characters = username.normalize('NFD').replace(/[\p{Default_Ignorable_Code_Point}\u0640]/gu, '');
  return Array.from(characters, (character) => prototypes.get(character) ?? character)
    .join('')
    .normalize('NFD')
    .toLowerCase()
    .normalize('NFD');
}
