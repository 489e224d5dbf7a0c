/** Maximum length of an emoji, in UTF-16 units, with room for later versions of Unicode. */
const MAX_LENGTH = 64;
/** Matches one emoji that Unicode recommends for interchange, including sequences. */
const EMOJI = new RegExp('^\\p{RGI_Emoji}$', 'v');
/**
 * Matches a character that is displayed as an emoji only if U+FE0F follows. Does not match before a skin tone, because
 * U+FE0F is not needed there.
 */
const TEXT_BY_DEFAULT = /(?:(?!\p{Emoji_Presentation})\p{Emoji})(?!\p{Emoji_Modifier})/gu;

/**
 * Returns an emoji in its fully-qualified form (Unicode Technical Standard 51), or null if the text is not one emoji.
 * Keyboards send U+FE0F inconsistently. The fully-qualified form makes all variants the same reaction.
 */
export function qualifyEmoji(text: string): string | null {
  if (text.length > MAX_LENGTH) return null;
  const qualified = text.replaceAll('\ufe0f', '').replace(TEXT_BY_DEFAULT, '$&\ufe0f');
  return EMOJI.test(qualified) ? qualified : null;
}
