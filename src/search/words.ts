/**
 * Words for a full-text index, in every language.
 *
 * Letters are compared without regard to case, accents and width: NFKD, without accents, lower case. Scripts that put no
 * spaces between words (Chinese, Japanese, Thai …) are indexed by overlapping pairs of characters, after the CJK bigram
 * method of Lucene: it finds a word wherever it stands, and depends on no dictionary, which would have to cut the text
 * and the query alike.
 */

/** A word of letters, or a pair of characters; `place` counts up along the text. */
export interface Word {
  text: string;
  place: number;
}

/** How long a word may be; of longer ones the beginning counts. */
const MOST_LETTERS = 64;
/** PostgreSQL's highest position in a text. */
const LAST_PLACE = 16_383;

const UNSPACED = String.raw`\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}ー々`;
const RUNS = new RegExp(`([${UNSPACED}]+)|((?:(?![${UNSPACED}])[\\p{L}\\p{M}\\p{N}])+)`, 'gu');

/** The words of a text, as they are indexed. */
export function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (const [, unspaced, spaced] of fold(text).matchAll(RUNS)) {
    if (spaced !== undefined) words.push({ text: spaced.slice(0, MOST_LETTERS), place: words.length });
    else words.push(...pairsOf(unspaced ?? '').map((pair, i) => ({ text: pair, place: words.length + i })));
  }
  return words;
}

/** Each character with the next; the last one alone, so that a search for one character finds it. */
function pairsOf(run: string): string[] {
  const characters = Array.from(run);
  return characters.map((character, i) => character + (characters[i + 1] ?? ''));
}

/**
 * Accents of Latin, Greek and Cyrillic, points of Hebrew, vowel signs of Arabic. The marks of other scripts make another
 * letter (か and が) or are vowels (कि), and stay.
 */
const ACCENTS = /[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]+/g;

/** Upper case first, so that ß meets SS and a final sigma the other one. */
function fold(text: string): string {
  return text.normalize('NFKD').replace(ACCENTS, '').normalize('NFC').toUpperCase().toLowerCase();
}

/** The text as PostgreSQL's `tsvector` is written. */
export function toVector(text: string): string {
  return wordsOf(text)
    .filter(({ place }) => place < LAST_PLACE)
    .map((word) => `'${word.text}':${word.place + 1}`)
    .join(' ');
}

/**
 * What finds the texts that have all words of a query, as PostgreSQL's `tsquery` is written; null where it has none.
 * Words are found by how they begin; characters of unspaced scripts where they stand side by side.
 */
export function toQuery(query: string): string | null {
  const terms: string[] = [];
  for (const [, unspaced, spaced] of fold(query).matchAll(RUNS)) {
    if (spaced !== undefined) terms.push(`'${spaced.slice(0, MOST_LETTERS)}':*`);
    else terms.push(sideBySide(Array.from(unspaced ?? '')));
  }
  return terms.length === 0 ? null : terms.join(' & ');
}

function sideBySide(characters: string[]): string {
  if (characters.length === 1) return `'${characters.join('')}':*`;
  // The last one alone stands in the index only at the end of a run: the pairs say it all.
  const pairs = characters.slice(0, -1).map((character, i) => `'${character}${characters[i + 1] ?? ''}'`);
  return pairs.length === 1 ? pairs.join('') : `(${pairs.join(' <-> ')})`;
}
