import { LinkifyIt, type Match } from 'linkify-it';

// Text without a scheme is often not an address ("e.g.a"), and only http(s) is safe to open.
const linkify = new LinkifyIt({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false, urlAuth: true });
for (const scheme of ['ftp:', 'mailto:', '//']) linkify.add(scheme, null);

/** Characters that change the direction of the text after them, so that an address could look like another one. */
const BIDI_CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

/** Returns the http(s) addresses in a text, in order. Brackets and punctuation around an address are not part of it. */
export function findLinks(text: string): Match[] {
  return (linkify.match(text) ?? []).filter(({ raw }) => !BIDI_CONTROLS.test(raw));
}
