import { badInput } from '../errors.ts';
import { isVisible } from './names.ts';
import { countCharacters, cut, isStorable } from './text.ts';

/** Maximum number of characters of a body, without surrounding white space. */
const MAX_BODY = 10_000;
const MAX_CLIENT_MESSAGE_ID = 100;

/**
 * Checks the body of a message. A body is stored exactly as it was sent. Its length is counted without surrounding
 * white space.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkBody(body: string, path: string): void {
  const length = countCharacters(body.trim(), MAX_BODY);
  if (length < 1 || length > MAX_BODY) {
    throw badInput(path, `A message has 1 to ${MAX_BODY.toLocaleString('en')} characters.`);
  }
  if (!isStorable(body)) {
    throw badInput(path, 'A message is Unicode text without U+0000 and without lone surrogates.');
  }
  if (!isVisible(body)) throw badInput(path, 'A message needs a visible character. This text has none.');
}

/** Truncates an imported text to the maximum length of a body. Returns null if the text has no visible character. */
export function fitBody(text: string): string | null {
  const body = cut(text.toWellFormed().replaceAll('\0', ''), MAX_BODY);
  return isVisible(body) ? body : null;
}

/**
 * Checks a clientMessageId, which may be absent.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkClientMessageId(id: string | null | undefined, path: string): void {
  if (id == null) return;
  const length = countCharacters(id, MAX_CLIENT_MESSAGE_ID);
  if (length < 1 || length > MAX_CLIENT_MESSAGE_ID || !isStorable(id)) {
    throw badInput(path, `A clientMessageId has 1 to ${MAX_CLIENT_MESSAGE_ID} characters.`);
  }
}
