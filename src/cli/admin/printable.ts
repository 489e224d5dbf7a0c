/**
 * Escapes control, format and line separator characters. A text from a user, such as a User-Agent, may contain them,
 * and a terminal would execute them. For example, U+009B starts a terminal command.
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
