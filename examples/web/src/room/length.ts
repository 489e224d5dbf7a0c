/** Maximum length of a message in Unicode code points, without surrounding white space. */
export const MAX_BODY_LENGTH = 10_000;

/** Length from which the count is shown. */
const COUNT_FROM = 9_000;

export const bodyLength = (text: string) => Array.from(text.trim()).length;

/** Returns the count to show for a long text, and the error text if it is too long to be sent. */
export function wordLength(text: string): { count: string | null; problem: string | null } {
  // A text never has more code points than UTF-16 units, so a short text need not be counted at each key press.
  if (text.length < COUNT_FROM) return { count: null, problem: null };
  const length = bodyLength(text);
  const over = length - MAX_BODY_LENGTH;
  return {
    count:
      length < COUNT_FROM
        ? null
        : `${length.toLocaleString('en')} of ${MAX_BODY_LENGTH.toLocaleString('en')} characters`,
    problem:
      over > 0
        ? `This message is ${over.toLocaleString('en')} ${over === 1 ? 'character' : 'characters'} too long. Shorten it, or send it in parts.`
        : null,
  };
}
