/**
 * Escapes what a terminal would obey instead of show: control characters (C0, DEL, C1 such as U+009B, which begins a command),
 * bidi and other format characters, and line separators. Texts of users, such as a User-Agent, may contain them.
 */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, escape);
}

/** The same for a text of several lines. */
export function printableLines(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => (character === '\n' ? character : escape(character)));
}

function escape(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}}`;
}
