import { badInput } from '../errors.ts';
import { isVisible } from './names.ts';
import { countCharacters, cut, isStorable } from './text.ts';

/** Maximum characters of a body, without the white space around it. */
export const MAX_BODY = 10_000;
const MAX_CLIENT_MESSAGE_ID = 100;

/**
 * Checks the body of a message. A body is stored exactly as it was sent; only its length is counted without the white
 * space around it.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkBody(body: string, path: string): void {
  const length = countCharacters(body.trim(), MAX_BODY);
  if (length < 1 || length > MAX_BODY) {
    throw badInput(path, `A message has 1 to ${MAX_BODY.toLocaleString('en')} characters.`);
  }
  if (!isStorable(body)) {
    throw badInput(path, 'A message is Unicode text without U+0000 and without half of a surrogate pair.');
  }
  if (!isVisible(body)) throw badInput(path, 'A message shows something. This text is invisible.');
}

/** Returns the beginning of a text from elsewhere as a body. Null if the text shows nothing. */
export function fitBody(text: string): string | null {
  const body = cut(text.toWellFormed().replaceAll('\0', ''), MAX_BODY);
  return isVisible(body) ? body : null;
}

/** @throws ChatError `BAD_USER_INPUT` */
export function checkClientMessageId(id: string | null | undefined, path: string): void {
  if (id == null) return;
  const length = countCharacters(id, MAX_CLIENT_MESSAGE_ID);
  if (length < 1 || length > MAX_CLIENT_MESSAGE_ID || !isStorable(id)) {
    throw badInput(path, `A clientMessageId has 1 to ${MAX_CLIENT_MESSAGE_ID} characters.`);
  }
}
