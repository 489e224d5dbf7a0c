/**
 * Escapes characters that a terminal would interpret instead of print, because texts of users, such as a User-Agent,
 * may contain them. Escaped are control characters (C0, DEL, C1), bidi and other format characters, and line
 * separators. The C1 character U+009B, for example, starts a terminal command.
 */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, escape);
}

/** Escapes like {@link printable}, except for line feeds. */
export function printableLines(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => (character === '\n' ? character : escape(character)));
}

function escape(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}}`;
}
