/** The server counts Unicode code points, without the white space around a text. */
export const MAX_BODY_LENGTH = 10_000;

/** The count is shown from here on. */
const COUNT_FROM = 9_000;

export const bodyLength = (text: string) => Array.from(text.trim()).length;

/** Returns how long a text is if that matters, and why it cannot be sent if it is too long. */
export function wordLength(text: string): { count: string | null; problem: string | null } {
  // A code point has at most two UTF-16 units: a short text is not counted at each key.
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
