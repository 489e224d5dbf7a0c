/**
 * Returns the number of characters (Unicode code points) of a text, at most `limit + 1`. A text that is far too long is
 * not counted. JavaScript's `length` counts an emoji twice.
 */
export function countCharacters(text: string, limit: number): number {
  // A character has at most two UTF-16 units.
  if (text.length > 2 * limit) return limit + 1;
  return Math.min(Array.from(text).length, limit + 1);
}

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });

/**
 * Returns the beginning of a text, at most `limit` characters. Does not split a grapheme, such as an emoji of several
 * code points or a letter with its marks. Only a first grapheme that is longer than `limit` is split.
 */
export function cut(text: string, limit: number): string {
  if (countCharacters(text, limit) <= limit) return text;
  // One character past the limit shows whether a grapheme ends at the limit. The rest of the text is not processed.
  const characters = Array.from(text.slice(0, 2 * limit + 2)).slice(0, limit + 1);
  const end = characters.slice(0, limit).join('').length;
  const { index } = graphemes.segment(characters.join('')).containing(end) ?? { index: end };
  return text.slice(0, index === 0 ? end : index);
}

/** Returns true if PostgreSQL can store a text: it has no U+0000 and no lone surrogate. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/**
 * Pattern of a character that fonts render as blank, for a regular expression with the flag u or v. Includes ignorable
 * characters, blanks of Braille, Khitan, musical and Egyptian signs, and U+FFFC.
 */
export const BLANK = String.raw`[\p{Default_Ignorable_Code_Point}\u2800\uFFFC\u{16FE4}\u{1D159}\u{13441}\u{13442}]`;
