/**
 * Escapes control characters (C0, DEL, C1), bidi and other format characters, and line separators. Texts of users, such
 * as a User-Agent, may contain these characters, and a terminal would interpret them. U+009B, for example, starts a
 * terminal command.
 */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, escape);
}

/** Escapes a text like {@link printable}, but keeps its line feeds. */
export function printableLines(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => (character === '\n' ? character : escape(character)));
}

function escape(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}}`;
}
