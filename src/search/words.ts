import { cut } from '../text/text.ts';

/**
 * Cuts texts and queries into the words of a full-text index, in every language.
 *
 * Letters are compared without regard to case, accents and width: NFKD, without accents, lower case. Code points that show
 * nothing or change only how their neighbours look are removed first: default-ignorable code points (variation selectors,
 * joiners, tags), format characters and the Arabic tatweel.
 *
 * There are three kinds of runs:
 *
 * - Words of scripts with spaces. A query finds them by how they begin.
 * - Runs of scripts that put no spaces between words (Chinese, Japanese, Thai …). They are indexed by overlapping pairs of
 *   characters, after the CJK bigram method of Lucene: a query finds a word wherever it stands. No dictionary is involved,
 *   which would have to cut the text and the query alike.
 * - Runs of emoji. Each emoji is a word, and a query finds emoji that stand side by side as in the query. Skin tones are
 *   removed. A joined sequence such as 👩‍💻 is its parts, so that 👩 finds it too.
 */

/** One entry of the index; `place` counts up along the text. */
export interface Word {
  text: string;
  place: number;
}

/** Length of a word in code points. The rest of a longer word is not indexed. */
const MAX_WORD_LENGTH = 64;
/** PostgreSQL's highest position in a text. */
const LAST_PLACE = 16_383;
/** A word of a query that is shorter, in code points, finds only itself: one letter begins a large part of all words. */
const MIN_PREFIX_LENGTH = 2;

/** U+07FA and U+180A stretch a word in N'Ko and Mongolian, as U+0640 does in Arabic. */
const IGNORED = /[\p{Default_Ignorable_Code_Point}\p{Cf}\u0640\u07fa\u180a]+/gu;
/**
 * Marks beyond 30 in a row, the limit of the Stream-Safe Text Format (UAX #15). Normalisation sorts marks in quadratic time:
 * 10,000 of them took 280 ms.
 */
const EXCESS_MARKS = /(?<=\p{M}{30})\p{M}+/gu;

/** One emoji: a flag, a keycap, or a picture with its skin tone. */
const EMOJI = String.raw`\p{Regional_Indicator}{1,2}|[0-9#*]\u20e3|[\p{Extended_Pictographic}\p{Emoji_Presentation}]\p{Emoji_Modifier}?`;
const EMOJI_RUNS = new RegExp(`((?:${EMOJI})+)`, 'u');
const EACH_EMOJI = new RegExp(EMOJI, 'gu');
const SKIN_TONE = /(?<=.)\p{Emoji_Modifier}$/u;

const UNSPACED = String.raw`[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}ー々]`;
/** A word begins with a letter or digit. Marks behind anything else are left out. */
const RUNS = new RegExp(
  String.raw`((?:${UNSPACED}\p{M}*)+)|([[\p{L}\p{N}]--${UNSPACED}][[\p{L}\p{M}\p{N}]--${UNSPACED}]*)`,
  'gv',
);

type Run = { kind: 'word'; text: string } | { kind: 'unspaced' | 'emoji'; characters: string[] };

function* runsOf(text: string): Generator<Run> {
  // The parts alternate, because the pattern has one group: text, emoji, text …
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
 * Accents of Latin, Greek and Cyrillic, points of Hebrew, vowel signs of Arabic. The marks of other scripts make another
 * letter (か and が) or are vowels (कि), and stay.
 */
const ACCENTS = /[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]+/g;

/**
 * Upper case first, so that ß meets SS. A final sigma becomes the other one, because a prefix does not know whether its
 * sigma is final. Hangul fillers become ignorable by NFKD.
 */
function fold(text: string): string {
  const bare = text.replace(EXCESS_MARKS, '').normalize('NFKD').replace(IGNORED, '').replace(ACCENTS, '');
  return bare.normalize('NFC').toUpperCase().toLowerCase().replaceAll('ς', 'σ');
}

/** The words of a text, as they are indexed. */
export function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (const run of runsOf(text)) {
    const texts = run.kind === 'word' ? [run.text] : run.kind === 'emoji' ? run.characters : pairsOf(run.characters);
    for (const each of texts) words.push({ text: each, place: words.length });
    if (words.length >= LAST_PLACE) break;
  }
  return words.slice(0, LAST_PLACE);
}

/** Each character with the next; the last one alone, so that a search for one character finds it. */
function pairsOf(characters: readonly string[]): string[] {
  return characters.map((character, i) => character + (characters[i + 1] ?? ''));
}

/** The text as PostgreSQL's `tsvector` is written. */
export function toVector(text: string): string {
  return wordsOf(text)
    .map((word) => `'${word.text}':${word.place + 1}`)
    .join(' ');
}

/**
 * The terms of a query, each written as PostgreSQL's `tsquery`: one for each word and for each run of an unspaced script or
 * of emoji.
 */
export function termsOf(query: string): string[] {
  return Array.from(runsOf(query), (run) => {
    if (run.kind === 'word') return quoted(run.text) + (isPrefix(run.text) ? ':*' : '');
    if (run.kind === 'emoji') return sideBySide(run.characters);
    const { characters } = run;
    // A single character begins a pair. The last one stands alone in the index only at the end of a run: the pairs say it all.
    return characters.length === 1 ? `${quoted(characters.join(''))}:*` : sideBySide(pairsOf(characters).slice(0, -1));
  });
}

/** A single Hangul syllable holds two letters or three. */
function isPrefix(word: string): boolean {
  return Array.from(word).length >= MIN_PREFIX_LENGTH || /^\p{sc=Hangul}/u.test(word);
}

function sideBySide(texts: readonly string[]): string {
  const all = texts.map(quoted).join(' <-> ');
  return texts.length === 1 ? all : `(${all})`;
}

/** Words have neither quotes nor backslashes: letters, marks, digits and emoji. */
function quoted(word: string): string {
  return `'${word}'`;
}

/** What finds the texts that have all terms of a query, as PostgreSQL's `tsquery` is written; null if it has none. */
export function toQuery(query: string): string | null {
  return termsOf(query).join(' & ') || null;
}
