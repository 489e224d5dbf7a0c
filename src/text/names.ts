import { badInput } from '../errors.ts';
import { mixesScriptsHonestly } from './scripts.ts';
import { BLANK, countCharacters, cut, isStorable } from './text.ts';

/**
 * Longest text that is normalised, in UTF-16 units. ICU sorts combining marks by insertion: 100 KB of them stop the process
 * for half a second. No name is this long, so a longer text names nobody.
 */
const MAX_KEY_LENGTH = 256;

/** Maximum characters of names. */
export const MAX_USERNAME = 32;
export const MAX_NICKNAME = 64;
const MAX_ROOM_NAME = 100;
const MAX_TOPIC = 500;
const MAX_BIO = 500;
const MAX_SEARCH = 100;

/**
 * Returns what names are compared by, or null for a text that is too long to be a name. Names are equal regardless of
 * letter case, width and composition (NFKC).
 */
export function nameKey(name: string): string | null {
  return name.length > MAX_KEY_LENGTH ? null : foldName(name);
}

/** {@link nameKey} of a text whose length was checked. Upper case first, so that ß meets SS and a final sigma the other one. */
export function foldName(name: string): string {
  return name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC');
}

/** Letters and digits with marks on them, `_`, `.` and `-`. Nothing that shows nothing. */
const USERNAME = new RegExp(
  String.raw`^(?=.*[\p{L}\p{Nd}])(?:(?!${BLANK})[\p{L}\p{Nd}_.\-]|(?<=[\p{L}\p{Nd}\p{M}])(?!${BLANK})[\p{Mn}\p{Mc}])+$`,
  'u',
);
const NOT_IN_USERNAME = new RegExp(String.raw`(?:${BLANK}|[^\p{L}\p{Mn}\p{Mc}\p{Nd}_.\-])+`, 'gu');
/** More marks in a row than people write. Myanmar, Tibetan, Khmer and Tai Tham stack up to four. */
const STACKED_MARKS = new RegExp(
  String.raw`[\p{M}--[\p{sc=Myanmar}\p{sc=Tibetan}\p{sc=Khmer}\p{sc=Tai_Tham}]]{3}|\p{M}{5}`,
  'v',
);

const MARKS_TOO_MANY = new RegExp(
  String.raw`([\p{M}--[\p{sc=Myanmar}\p{sc=Tibetan}\p{sc=Khmer}\p{sc=Tai_Tham}]]{2}|\p{M}{4})\p{M}+`,
  'gv',
);

/**
 * Returns a username in NFKC, as it is stored.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkUsername(text: string, path: string): string {
  const name = text.length > MAX_KEY_LENGTH ? '' : text.normalize('NFKC');
  if (!hasUsernameShape(name)) {
    throw badInput(path, `A username has 3 to ${MAX_USERNAME} letters, digits, or any of _ . - and not only signs.`);
  }
  if (STACKED_MARKS.test(name)) throw badInput(path, 'A username has at most two marks in a row on a letter.');
  if (!mixesScriptsHonestly(name)) {
    throw badInput(path, 'A username is written in one script. Latin also goes with Japanese, Chinese and Korean.');
  }
  return name;
}

/**
 * Whether a text has the length and the characters of a username, in the form in which it is stored. Names that are
 * imported need no more: earlier releases allowed any mixture of scripts.
 */
export function hasUsernameShape(text: string): boolean {
  const length = countCharacters(text, MAX_USERNAME);
  return length >= 3 && length <= MAX_USERNAME && USERNAME.test(text) && text.normalize('NFKC') === text;
}

/** Whether a text is a username in the form in which it is stored. */
export function isUsername(text: string): boolean {
  try {
    return checkUsername(text, 'username') === text;
  } catch {
    return false;
  }
}

/**
 * Returns the beginning of a name from elsewhere, at most `limit` characters, with `replacement` for what a username cannot
 * contain. The result may still be no username, for example because it is too short.
 */
export function fitUsername(name: string, limit: number, replacement: '' | '-'): string {
  const letters = cut(name, 4 * limit)
    .normalize('NFKC')
    .replace(NOT_IN_USERNAME, replacement)
    .replace(MARKS_TOO_MANY, '$1')
    .replace(/^[\-\p{M}]+|-+$/gu, '');
  return cut(letters, limit);
}

/** Control characters, line breaks, and what turns the direction of the text around a name. */
const DISTURBING = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

/**
 * Returns a nickname without white space around it.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkNickname(text: string, path: string): string {
  return checkLine(text, path, 'A nickname', MAX_NICKNAME);
}

/** Returns the beginning of a name from elsewhere as a nickname. Null if the name breaks the rules of nicknames. */
export function fitNickname(name: string): string | null {
  return fitLine(name, MAX_NICKNAME, checkNickname);
}

/** Returns the beginning of a name from elsewhere as the name of a room. Null if the name breaks the rules of such names. */
export function fitRoomName(name: string): string | null {
  return fitLine(name, MAX_ROOM_NAME, checkRoomName);
}

/** Returns the beginning of a text from elsewhere as a topic. Null if the text breaks the rules of topics. */
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
 * Returns the name of a room without white space around it; null for none.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkRoomName(text: string | null | undefined, path: string): string | null {
  return text == null ? null : checkLine(text, path, 'The name of a chatroom', MAX_ROOM_NAME);
}

function checkLine(text: string, path: string, what: string, limit: number): string {
  const name = text.trim();
  checkLength(name, path, what, 1, limit);
  if (DISTURBING.test(name)) {
    throw badInput(path, `${what} is one line, without control characters and without signs that turn its direction.`);
  }
  if (!isVisible(name)) throw badInput(path, `${what} shows something. This text is invisible.`);
  return name;
}

/**
 * Control characters but line breaks and tabs; embeddings and overrides, which can turn the whole text round. Direction
 * marks and isolates stay allowed, because texts in Hebrew and Arabic need them.
 */
const DISTURBING_IN_TEXT = /(?![\t\n\r])[\p{Cc}\u202a-\u202e]/u;

/**
 * Returns a topic without white space around it; null for none.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkTopic(text: string | null | undefined, path: string): string | null {
  if (text == null) return null;
  const topic = text.trim();
  checkParagraphs(topic, path, 'A topic', 1, MAX_TOPIC);
  if (!isVisible(topic))
    throw badInput(path, 'A topic shows something. This text is invisible; leave it out for none.');
  return topic;
}

/**
 * Returns a bio as it was given.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkBio(text: string, path: string): string {
  checkParagraphs(text, path, 'A bio', 0, MAX_BIO);
  return text;
}

function checkParagraphs(text: string, path: string, what: string, least: number, most: number): void {
  checkLength(text, path, what, least, most);
  if (DISTURBING_IN_TEXT.test(text)) {
    throw badInput(path, `${what} has no control characters but line breaks, and no direction overrides.`);
  }
}

/**
 * Returns what the keys of names are searched by.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkNameSearch(text: string, path: string): string {
  if (countCharacters(text, MAX_SEARCH) > MAX_SEARCH || !isStorable(text)) {
    throw badInput(path, `Search for at most ${MAX_SEARCH} characters.`);
  }
  return text;
}

function checkLength(text: string, path: string, what: string, least: number, most: number): void {
  const length = countCharacters(text, most);
  if (length < least || length > most) throw badInput(path, `${what} has ${least} to ${most} characters.`);
  if (!isStorable(text))
    throw badInput(path, `${what} is Unicode text without U+0000 and without half of a surrogate pair.`);
}

const INVISIBLE = new RegExp(String.raw`^(?:${BLANK}|[\p{White_Space}\p{Cc}\p{Cf}])*$`, 'u');

/** Whether a text shows anything. Call it for texts whose length was checked. */
export function isVisible(text: string): boolean {
  return !INVISIBLE.test(text);
}
