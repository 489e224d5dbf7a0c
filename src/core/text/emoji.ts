/** Maximum length of an emoji, in UTF-16 units, with room for later versions of Unicode. */
const MAX_LENGTH = 64;
/** Emoji that Unicode recommends for interchange, including sequences. */
const EMOJI = new RegExp('^\\p{RGI_Emoji}$', 'v');
/** Character that is displayed as text unless U+FE0F or a skin tone follows. Does not match before a skin tone. */
const TEXT_BY_DEFAULT = /(?:(?!\p{Emoji_Presentation})\p{Emoji})(?!\p{Emoji_Modifier})/gu;

/**
 * Returns an emoji in its fully-qualified form (Unicode Technical Standard 51), or null if the text is not one emoji.
 * Some keyboards omit U+FE0F, or add one where none belongs. All forms of an emoji are the same reaction.
 */
export function qualifyEmoji(text: string): string | null {
  if (text.length > MAX_LENGTH) return null;
  const qualified = text.replaceAll('\ufe0f', '').replace(TEXT_BY_DEFAULT, '$&\ufe0f');
  return EMOJI.test(qualified) ? qualified : null;
}
