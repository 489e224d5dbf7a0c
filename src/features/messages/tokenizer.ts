import { cut } from '../../core/text/text.ts';

/** One entry of the index. `position` counts the words of the text from 0. */
export interface Word {
  text: string;
  position: number;
}

/** Maximum length of a word in code points. Longer words are truncated. */
const MAX_WORD_LENGTH = 64;
/** PostgreSQL's highest position in a `tsvector`. Words beyond this position are not indexed. */
const MAX_POSITION = 16_383;
/**
 * Minimum length of a query word that matches as a prefix, in code points. Shorter words match only themselves, because
 * too many words begin with the same letter.
 */
const MIN_PREFIX_LENGTH = 2;

/** Matches invisible code points, and the characters that stretch words in Arabic (U+0640), N'Ko and Mongolian. */
const IGNORED = /[\p{Default_Ignorable_Code_Point}\p{Cf}\u0640\u07fa\u180a]+/gu;
/**
 * Matches marks beyond 30 in a row, the limit of the Stream-Safe Text Format (UAX #15). Such marks are removed, because
 * normalisation sorts marks in quadratic time: 10,000 marks took 280 ms.
 */
const EXCESS_MARKS = /(?<=\p{M}{30})\p{M}+/gu;

/** Matches one emoji: a flag, a keycap, or a pictograph with an optional skin tone. */
const EMOJI = String.raw`\p{Regional_Indicator}{1,2}|[0-9#*]\u20e3|[\p{Extended_Pictographic}\p{Emoji_Presentation}]\p{Emoji_Modifier}?`;
const EMOJI_RUNS = new RegExp(`((?:${EMOJI})+)`, 'u');
const EACH_EMOJI = new RegExp(EMOJI, 'gu');
const SKIN_TONE = /(?<=.)\p{Emoji_Modifier}$/u;

const UNSPACED = String.raw`[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}ー々]`;
/**
 * Group 1 matches a run of characters from scripts without spaces between words, with their marks. Group 2 matches a
 * word, which begins with a letter or digit. All other characters are left out.
 */
const RUNS = new RegExp(
  String.raw`((?:${UNSPACED}\p{M}*)+)|([[\p{L}\p{N}]--${UNSPACED}][[\p{L}\p{M}\p{N}]--${UNSPACED}]*)`,
  'gv',
);

type Run = { kind: 'word'; text: string } | { kind: 'unspaced' | 'emoji'; characters: string[] };

/**
 * Splits a text or a query, in any language, into runs. {@link wordsOf} turns runs into words of the index.
 * {@link termsOf} turns runs into terms of a query.
 *
 * Removes invisible code points: variation selectors, joiners, tags, format characters and the Arabic tatweel. Outside
 * emoji, also removes differences of case, accents and width.
 *
 * There are three kinds of runs:
 *
 * - Words of scripts with spaces. A query word matches words that begin with the query word.
 * - Runs of scripts without spaces between words (Chinese, Japanese, Thai …). They are indexed as overlapping pairs of
 *   characters, like the CJK bigrams of Lucene, so a query matches at any position. A dictionary is not used, because
 *   it would have to split the text and the query in the same way.
 * - Runs of emoji. Each emoji is a word, and adjacent emoji of a query match only adjacent emoji of a text. Skin tones
 *   are removed. A joined sequence such as 👩‍💻 is indexed as its parts, so a search for 👩 finds the sequence, too.
 */
function* runsOf(text: string): Generator<Run> {
  // The pattern has one capturing group, so the parts alternate: text, emoji, text …
  for (const [i, part] of text.replace(IGNORED, '').split(EMOJI_RUNS).entries()) {
    if (i % 2 === 1) {
      const emoji = part.match(EACH_EMOJI) ?? [];
      yield { kind: 'emoji', characters: emoji.map((each) => each.replace(SKIN_TONE, '')) };
      continue;
    }
    for (const [, unspaced, word] of fold(part).matchAll(RUNS)) {
      if (word !== undefined) yield { kind: 'word', text: cut(word, MAX_WORD_LENGTH) };
      else yield { kind: 'unspaced', characters: Array.from(unspaced ?? '') };
    }
  }
}

/**
 * Matches accents of Latin, Greek and Cyrillic, points of Hebrew, and vowel signs of Arabic. Marks of other scripts are
 * not removed, because they form a different letter (か and が) or are vowels (कि).
 */
const ACCENTS = /[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]+/g;

/**
 * Returns a text without differences of case, accents and width.
 *
 * Converts to upper case first, so that ß equals SS. Replaces a final sigma (ς) by σ, because a query that ends in ς
 * must also match longer words with σ in that position. Removes `IGNORED` again after NFKD, because NFKD can produce
 * ignorable characters such as Hangul fillers.
 */
function fold(text: string): string {
  const bare = text.replace(EXCESS_MARKS, '').normalize('NFKD').replace(IGNORED, '').replace(ACCENTS, '');
  return bare.normalize('NFC').toUpperCase().toLowerCase().replaceAll('ς', 'σ');
}

/** Returns the words of a text, as they are indexed. Words beyond PostgreSQL's highest position are left out. */
export function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (const run of runsOf(text)) {
    const texts = run.kind === 'word' ? [run.text] : run.kind === 'emoji' ? run.characters : pairsOf(run.characters);
    for (const each of texts) words.push({ text: each, position: words.length });
    if (words.length >= MAX_POSITION) break;
  }
  return words.slice(0, MAX_POSITION);
}

/**
 * Returns each character paired with the next one. The last character stays alone, so that a search for this character
 * matches.
 */
function pairsOf(characters: readonly string[]): string[] {
  return characters.map((character, i) => character + (characters[i + 1] ?? ''));
}

/** Returns the words of a text in the syntax of PostgreSQL's `tsvector`. */
export function toVector(text: string): string {
  return wordsOf(text)
    .map((word) => `'${word.text}':${word.position + 1}`)
    .join(' ');
}

/**
 * Returns the terms of a query, each in the syntax of PostgreSQL's `tsquery`. Each word, and each run of an unspaced
 * script or of emoji, is one term.
 */
export function termsOf(query: string): string[] {
  return Array.from(runsOf(query), (run) => {
    if (run.kind === 'word') return quoted(run.text) + (isPrefix(run.text) ? ':*' : '');
    if (run.kind === 'emoji') return adjacent(run.characters);
    const { characters } = run;
    // A single character is searched as a prefix, so that it matches all pairs that begin with this character. A longer
    // run is searched as pairs. The last entry of `pairsOf` is left out, because it is a single character. The index
    // contains single characters only at the end of a run.
    return characters.length === 1 ? `${quoted(characters.join(''))}:*` : adjacent(pairsOf(characters).slice(0, -1));
  });
}

/**
 * Returns whether a query word matches as a prefix. A single Hangul syllable matches as a prefix, too, because it
 * consists of two or three letters.
 */
function isPrefix(word: string): boolean {
  return Array.from(word).length >= MIN_PREFIX_LENGTH || /^\p{sc=Hangul}/u.test(word);
}

/** Returns the term that matches the given words next to each other, in this order. */
function adjacent(texts: readonly string[]): string {
  const all = texts.map(quoted).join(' <-> ');
  return texts.length === 1 ? all : `(${all})`;
}

/** Returns a word in quotes. Needs no escaping, because words consist of letters, marks, digits and emoji. */
function quoted(word: string): string {
  return `'${word}'`;
}

/** Returns a `tsquery` that matches texts with all terms of a query; null for a query without terms. */
export function toQuery(query: string): string | null {
  return termsOf(query).join(' & ') || null;
}
