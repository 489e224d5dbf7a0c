/** Advice for a URL with a special character in its user or password that the parser takes for the end of this part. */
const ENCODE =
  'Percent-encode special characters in its user and password: @ as %40, / as %2F, # as %23, ? as %3F, : as %3A, % as %25.';

/**
 * Detects a URL that a raw special character in the password splits at the wrong position. The parser would read a part
 * of the password as the host, the path or a fragment.
 *
 * @returns advice without any part of the URL, or null if the URL is unambiguous
 */
export function findUrlFault(url: string): string | null {
  const [, rest = ''] = /^[a-z][a-z\d+.-]*:\/\/(.*)$/is.exec(url) ?? [];
  const [, authority = '', path = '', query = ''] = /^([^/?#]*)([^?#]*)(\?[^#]*)?/.exec(rest) ?? [];
  const at = authority.lastIndexOf('@');
  const user = authority.slice(0, Math.max(at, 0));
  // The query of a valid URL is a list of NAME=VALUE. An `@` before any `=` therefore belongs to a user and password
  // that a raw `?` has split.
  const isSplit = rest.includes('#') || path.includes('@') || (at < 0 && /^\?[^=&]*@/.test(query));
  const isMalformed = /%(?![\da-f]{2})/i.test(user) || /[\s]/.test(user);
  return isSplit || isMalformed ? ENCODE : null;
}

/**
 * Returns the advice to percent-encode, after a space, if an invalid URL contains an `@`. Otherwise returns an empty
 * text.
 */
export function adviseOnUrl(url: string): string {
  return url.includes('@') ? ` ${ENCODE}` : '';
}
