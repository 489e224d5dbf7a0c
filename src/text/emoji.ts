/** Longest emoji, in UTF-16 units, with room for those of later versions of Unicode. */
const MAX_LENGTH = 64;
/** The emoji that Unicode recommends for interchange, sequences included. */
const EMOJI = new RegExp('^\\p{RGI_Emoji}$', 'v');
/** A character that is shown as text unless U+FE0F follows. One with a skin tone is shown as emoji without. */
const TEXT_BY_DEFAULT = /(?:(?!\p{Emoji_Presentation})\p{Emoji})(?!\p{Emoji_Modifier})/gu;

/**
 * Returns an emoji in its fully-qualified form (Unicode Technical Standard 51), or null for what is not one emoji. Some
 * keyboards leave out U+FE0F, or add one where none belongs; all forms of an emoji are the same reaction.
 */
export function qualifyEmoji(text: string): string | null {
  if (text.length > MAX_LENGTH) return null;
  const qualified = text.replaceAll('\ufe0f', '').replace(TEXT_BY_DEFAULT, '$&\ufe0f');
  return EMOJI.test(qualified) ? qualified : null;
}
