import { domainToASCII } from 'node:url';
import { badInput } from '../errors.ts';

/** Longest e-mail address that SMTP carries (RFC 5321), in UTF-16 units. Longer texts are never normalised or matched. */
const MAX_LENGTH = 254;
// Leaves out what would make the text a list, a group or a comment in the head of a mail, and what shows nothing.
const LOCAL_PART = String.raw`(?:(?!\p{Default_Ignorable_Code_Point})[^\s@\p{C}"(),:;<>[\]\\])+`;
const LABEL = String.raw`(?:(?!\p{Default_Ignorable_Code_Point})[\p{L}\p{M}\p{N}_-])+`;
const ADDRESS = new RegExp(String.raw`^(${LOCAL_PART})@(${LABEL}(?:\.${LABEL})+)$`, 'u');

/**
 * Returns an e-mail address as it was given.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkEmail(email: string, path: string): string {
  if (!isEmail(email)) throw badInput(path, 'This is not an e-mail address. Send one such as name@example.org.');
  return email;
}

/**
 * Whether a text is one e-mail address. An address that NFKC changes (`ⓥictim@example.org`) is refused, because it looks
 * like another address and its mail goes elsewhere.
 */
export function isEmail(text: string): boolean {
  return emailKey(text) !== null && text.normalize('NFKC') === text;
}

/**
 * Returns what e-mail addresses are compared by: the local part in lower case, and the domain in the ASCII form that DNS
 * uses. Also finds addresses typed in another width or composition (NFKC). Null for a text that is no e-mail address, of
 * whatever length.
 */
export function emailKey(text: string): string | null {
  if (text.length > MAX_LENGTH) return null;
  const [, localPart = '', domain = ''] = ADDRESS.exec(text.normalize('NFKC')) ?? [];
  const ascii = domainToASCII(domain);
  // A last label without a letter is an IP address. '' is a domain that IDNA refuses.
  return /[a-z][^.]*$/.test(ascii) ? `${localPart.toLowerCase()}@${ascii}` : null;
}
