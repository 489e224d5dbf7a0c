/** The length of a text in characters: Unicode code points, of which JavaScript's own `length` may count two. */
export function countCharacters(text: string): number {
  return Array.from(text).length;
}

/** PostgreSQL stores neither U+0000 nor half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
