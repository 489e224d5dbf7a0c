/** Advice for a URL with an unescaped special character in its user or password. */
const ENCODE =
  'Percent-encode special characters in its user and password: @ as %40, / as %2F, # as %23, ? as %3F, : as %3A, % as %25.';

/**
 * Detects a URL with an unescaped special character in its user or password. The parser would read a part of the
 * password as the host, the path or a fragment.
 *
 * @returns advice that does not quote the URL, or null if the URL has no such character
 */
export function findUrlFault(url: string): string | null {
  const [, rest = ''] = /^[a-z][a-z\d+.-]*:\/\/(.*)$/is.exec(url) ?? [];
  const [, authority = '', path = '', query = ''] = /^([^/?#]*)([^?#]*)(\?[^#]*)?/.exec(rest) ?? [];
  const at = authority.lastIndexOf('@');
  const user = authority.slice(0, Math.max(at, 0));
  // The query of a valid URL is a list of NAME=VALUE. If an `@` comes before the first `=`, the `?` therefore belongs
  // to the password.
  const isSplit = rest.includes('#') || path.includes('@') || (at < 0 && /^\?[^=&]*@/.test(query));
  const isMalformed = /%(?![\da-f]{2})/i.test(user) || /[\s]/.test(user);
  return isSplit || isMalformed ? ENCODE : null;
}

/**
 * Returns the advice to percent-encode special characters, with a leading space. Returns an empty text for a URL
 * without `@`.
 */
export function encodingAdvice(url: string): string {
  return url.includes('@') ? ` ${ENCODE}` : '';
}

/**
 * Parses a host and a port, such as `127.0.0.1:3310`, `clamd:3310` or `[::1]:3310`.
 *
 * @returns null if the text has another form, or if the port is not in 1 to 65535
 */
export function parseHostPort(text: string): { host: string; port: number } | null {
  const [, bracketed, name, digits = ''] = /^(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(text) ?? [];
  const [host, port] = [bracketed ?? name, Number(digits)];
  return host === undefined || port < 1 || port > 65_535 ? null : { host, port };
}
