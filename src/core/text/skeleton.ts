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
 * Returns the skeleton of a username, which is equal for usernames that look alike (Unicode Technical Standard 39), in
 * lower case. `paypaI` and `paypal` have the same skeleton, as have Latin `ape` and Cyrillic `аре`.
 *
 * Pass the name as displayed, because a capital I looks like l and a small one does not. The name must have passed
 * `checkUsername`, or be a stored name.
 */
export function skeletonOf(username: string): string {
  // U+0640 only stretches Arabic letters.
  const characters = username.normalize('NFD').replace(/[\p{Default_Ignorable_Code_Point}\u0640]/gu, '');
  return Array.from(characters, (character) => prototypes.get(character) ?? character)
    .join('')
    .normalize('NFD')
    .toLowerCase()
    .normalize('NFD');
}
