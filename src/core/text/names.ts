import { badInput } from '../errors.ts';
import { isHighlyRestrictive } from './scripts.ts';
import { BLANK, countCharacters, cut, isStorable } from './text.ts';

/**
 * Maximum length of a name before normalisation, in UTF-16 units. Longer texts are refused, because normalising 100 KB
 * of combining marks blocks the process for half a second.
 */
const MAX_KEY_LENGTH = 256;

/** Maximum lengths in characters. */
export const MAX_USERNAME = 32;
const MAX_NICKNAME = 64;
const MAX_ROOM_NAME = 100;
const MAX_TOPIC = 500;
const MAX_BIO = 500;
const MAX_SEARCH = 100;

/**
 * Returns the key by which names are compared. The key ignores letter case, width and composition (NFKC). Returns null
 * for a text that is too long to be a name.
 */
export function nameKey(name: string): string | null {
  return name.length > MAX_KEY_LENGTH ? null : foldName(name);
}

/**
 * Returns the {@link nameKey} of a text whose length was checked. Upper-cases first, so that ß equals SS and a final
 * sigma equals a medial one.
 */
export function foldName(name: string): string {
  return name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC');
}

/**
 * Matches letters and digits with combining marks, `_`, `.` and `-`. At least one letter or digit is required.
 * Invisible characters do not match.
 */
const USERNAME = new RegExp(
  String.raw`^(?=.*[\p{L}\p{Nd}])(?:(?!${BLANK})[\p{L}\p{Nd}_.\-]|(?<=[\p{L}\p{Nd}\p{M}])(?!${BLANK})[\p{Mn}\p{Mc}])+$`,
  'u',
);
const INVALID_IN_USERNAME = new RegExp(String.raw`(?:${BLANK}|[^\p{L}\p{Mn}\p{Mc}\p{Nd}_.\-])+`, 'gu');
/**
 * Matches too many consecutive combining marks: three in most scripts. Myanmar, Tibetan, Khmer and Tai Tham stack up to
 * four marks, so five are too many.
 */
const STACKED_MARKS = new RegExp(
  String.raw`[\p{M}--[\p{sc=Myanmar}\p{sc=Tibetan}\p{sc=Khmer}\p{sc=Tai_Tham}]]{3}|\p{M}{5}`,
  'v',
);

const EXCESS_MARKS = new RegExp(
  String.raw`([\p{M}--[\p{sc=Myanmar}\p{sc=Tibetan}\p{sc=Khmer}\p{sc=Tai_Tham}]]{2}|\p{M}{4})\p{M}+`,
  'gv',
);

/**
 * Checks a username and returns it in NFKC, as it is stored.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkUsername(text: string, path: string): string {
  const name = text.length > MAX_KEY_LENGTH ? '' : text.normalize('NFKC');
  if (!hasUsernameShape(name)) {
    throw badInput(
      path,
      `A username has 3 to ${MAX_USERNAME} letters, digits, or any of _ . - It needs a letter or digit.`,
    );
  }
  if (STACKED_MARKS.test(name)) throw badInput(path, 'A username has at most two marks in a row on a letter.');
  if (!isHighlyRestrictive(name)) {
    throw badInput(path, 'A username uses one script. Latin may be combined with Japanese, Chinese or Korean.');
  }
  return name;
}

/**
 * Returns true if a text has the length, the characters and the normal form of a username. Mixed scripts are allowed.
 * Imported names need only this check, because earlier releases allowed mixed scripts.
 */
export function hasUsernameShape(text: string): boolean {
  const length = countCharacters(text, MAX_USERNAME);
  return length >= 3 && length <= MAX_USERNAME && USERNAME.test(text) && text.normalize('NFKC') === text;
}

/** Returns true if a text is a valid username in its stored form. */
export function isUsername(text: string): boolean {
  try {
    return checkUsername(text, 'username') === text;
  } catch {
    return false;
  }
}

/**
 * Returns the beginning of an imported name, at most `limit` characters. Replaces invalid characters with
 * `replacement`. The result may still be invalid, for example because it is too short.
 */
export function fitUsername(name: string, limit: number, replacement: '' | '-'): string {
  const letters = cut(name, 4 * limit)
    .normalize('NFKC')
    .replace(INVALID_IN_USERNAME, replacement)
    .replace(EXCESS_MARKS, '$1')
    .replace(/^[\-\p{M}]+|-+$/gu, '');
  return cut(letters, limit);
}

/** Control characters, line breaks, and characters that change the direction of the text around a name. */
const FORBIDDEN_IN_LINE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

/**
 * Checks a nickname and returns it without surrounding white space.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkNickname(text: string, path: string): string {
  return checkLine(text, path, 'A nickname', MAX_NICKNAME);
}

/** Truncates an imported name to the maximum length of a nickname. Returns null if the name breaks another rule. */
export function fitNickname(name: string): string | null {
  return fitLine(name, MAX_NICKNAME, checkNickname);
}

/** Truncates an imported name to the maximum length of a room name. Returns null if the name breaks another rule. */
export function fitRoomName(name: string): string | null {
  return fitLine(name, MAX_ROOM_NAME, checkRoomName);
}

/** Truncates an imported text to the maximum length of a topic. Returns null if the text breaks another rule. */
export function fitTopic(text: string): string | null {
  return fitLine(text, MAX_TOPIC, checkTopic);
}

function fitLine(text: string, limit: number, check: (text: string, path: string) => string | null): string | null {
  try {
    return check(cut(text.trim(), limit), '');
  } catch {
    return null;
  }
}

/**
 * Checks the name of a room and returns it without surrounding white space. Returns null for null.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkRoomName(text: string | null | undefined, path: string): string | null {
  return text == null ? null : checkLine(text, path, 'The name of a chatroom', MAX_ROOM_NAME);
}

function checkLine(text: string, path: string, subject: string, limit: number): string {
  const name = text.trim();
  checkLength(name, path, subject, 1, limit);
  if (FORBIDDEN_IN_LINE.test(name)) {
    throw badInput(
      path,
      `${subject} is one line without control characters, and without characters that change the text direction.`,
    );
  }
  if (!isVisible(name)) throw badInput(path, `${subject} needs a visible character. This text has none.`);
  return name;
}

/**
 * Matches control characters except line breaks and tabs. Also matches embeddings and overrides, which can reverse the
 * whole text. Direction marks and isolates are allowed, because texts in Hebrew and Arabic need them.
 */
const FORBIDDEN_IN_TEXT = /(?![\t\n\r])[\p{Cc}\u202a-\u202e]/u;

/**
 * Checks a topic and returns it without surrounding white space. Returns null for null.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkTopic(text: string | null | undefined, path: string): string | null {
  if (text == null) return null;
  const topic = text.trim();
  checkParagraphs(topic, path, 'A topic', 1, MAX_TOPIC);
  if (!isVisible(topic)) throw badInput(path, 'A topic needs a visible character. Send null to have no topic.');
  return topic;
}

/**
 * Checks a bio and returns it unchanged.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkBio(text: string, path: string): string {
  checkParagraphs(text, path, 'A bio', 0, MAX_BIO);
  return text;
}

function checkParagraphs(text: string, path: string, subject: string, min: number, max: number): void {
  checkLength(text, path, subject, min, max);
  if (FORBIDDEN_IN_TEXT.test(text)) {
    throw badInput(
      path,
      `${subject} has no control characters except line breaks and tabs, and no direction overrides.`,
    );
  }
}

/**
 * Checks the text of a name search and returns it unchanged.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkNameSearch(text: string, path: string): string {
  if (countCharacters(text, MAX_SEARCH) > MAX_SEARCH || !isStorable(text)) {
    throw badInput(path, `Search for at most ${MAX_SEARCH} characters.`);
  }
  return text;
}

function checkLength(text: string, path: string, subject: string, min: number, max: number): void {
  const length = countCharacters(text, max);
  if (length < min || length > max) throw badInput(path, `${subject} has ${min} to ${max} characters.`);
  if (!isStorable(text)) throw badInput(path, `${subject} is Unicode text without U+0000 and without lone surrogates.`);
}

// One class, not two alternatives: a repeated choice between overlapping classes takes exponential time.
const VISIBLE = new RegExp(String.raw`[^${BLANK}\p{White_Space}\p{Cc}\p{Cf}]`, 'v');

/** Returns true if a text has a visible character. */
export function isVisible(text: string): boolean {
  return VISIBLE.test(text);
}
