import { LinkifyIt } from 'linkify-it';

// Text without a scheme is often not an address ("e.g.a"). With `urlAuth`, credentials are part of a link, so that the link
// can be refused as a whole.
const linkify = new LinkifyIt({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false, urlAuth: true });
for (const scheme of ['ftp:', 'mailto:', '//']) linkify.add(scheme, null);

/** Returns the first `limit` different http and https URLs in a text, in their order. */
export function findLinks(text: string, limit: number): string[] {
  const urls = new Set((linkify.match(text) ?? []).map(({ url }) => url));
  return [...urls].slice(0, limit);
}
