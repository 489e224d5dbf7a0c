import { domainToASCII } from 'node:url';
import { badInput } from '../errors.ts';

/**
 * Maximum length of an e-mail address in SMTP (RFC 5321), in UTF-16 units. Longer texts are refused before they are
 * normalised.
 */
const MAX_LENGTH = 254;
// Excludes invisible characters, and those that would turn the address into a list, a group or a comment in a mail
// header.
const LOCAL_PART = String.raw`(?:(?!\p{Default_Ignorable_Code_Point})[^\s@\p{C}"(),:;<>[\]\\])+`;
const LABEL = String.raw`(?:(?!\p{Default_Ignorable_Code_Point})[\p{L}\p{M}\p{N}_-])+`;
const ADDRESS = new RegExp(String.raw`^(${LOCAL_PART})@(${LABEL}(?:\.${LABEL})+)$`, 'u');

/**
 * Checks an e-mail address and returns it unchanged.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkEmail(email: string, path: string): string {
  if (!isEmail(email)) throw badInput(path, 'This is not an e-mail address. Send one such as name@example.org.');
  return email;
}

/**
 * Returns true if a text is one e-mail address. Refuses an address that NFKC changes, such as `ⓥictim@example.org`.
 * Such an address looks like the address of somebody else.
 */
export function isEmail(text: string): boolean {
  return emailKey(text) !== null && text.normalize('NFKC') === text;
}

/**
 * Returns the key by which e-mail addresses are compared: the local part in lower case, and the domain in the ASCII
 * form of DNS. The key ignores width and composition (NFKC). Returns null for a text that is not an e-mail address.
 */
export function emailKey(text: string): string | null {
  if (text.length > MAX_LENGTH) return null;
  const [, localPart = '', domain = ''] = ADDRESS.exec(text.normalize('NFKC')) ?? [];
  const ascii = domainToASCII(domain);
  // Refuses an IP address, because its last part has no letter. Refuses an invalid domain, because `domainToASCII`
  // returns '' for it.
  return /[a-z][^.]*$/.test(ascii) ? `${localPart.toLowerCase()}@${ascii}` : null;
}
