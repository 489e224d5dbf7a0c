import { Parser } from 'htmlparser2';
import { isVisible } from '../../core/text/names.ts';
import { cut } from '../../core/text/text.ts';

/** Maximum lengths of the texts of a page, in characters. Longer texts are cut. */
const MAX_TITLE_CHARACTERS = 300;
const MAX_DESCRIPTION_CHARACTERS = 1_000;
const MAX_SITE_NAME_CHARACTERS = 100;
/** Number of characters of a text that are processed. Far above the limits, because white space is removed. */
const PROCESSED_CHARACTERS = 10_000;
/**
 * Maximum depth of nested elements. Nothing is read after a deeper element. The parser moves and searches its list of open
 * elements at each tag, so that 1 MB of `<i>` would stop the node for many seconds.
 */
const MAX_DEPTH = 100;

/** Title, description and image of a web page, as the page states them. Never has both `title` and `description` null. */
export interface PageMetadata {
  title: string | null;
  description: string | null;
  siteName: string | null;
  /** URL of the image that represents the page, as the page spells it. */
  imageUrl: string | null;
}

/** Names of `meta` elements for each property, the preferred one first: Open Graph, then Twitter, then HTML. */
const NAMES = {
  title: ['og:title', 'twitter:title'],
  description: ['og:description', 'twitter:description', 'description'],
  siteName: ['og:site_name', 'application-name'],
  imageUrl: ['og:image:secure_url', 'og:image', 'og:image:url', 'twitter:image', 'twitter:image:src'],
};
const KNOWN_NAMES = new Set(Object.values(NAMES).flat());

/**
 * Reads the metadata in the head of a page, in the parts in which it arrives. Ignores scripts, and everything after the
 * start of the body.
 *
 * @returns null if the page has neither a title nor a description
 */
export async function readMetadata(parts: AsyncIterable<string>): Promise<PageMetadata | null> {
  const found = new Map<string, string>();
  let title = '';
  const place = { isInTitle: false, isAtEnd: false, depth: 0 };
  const parser = new Parser({
    onopentag(tag, attributes) {
      place.depth += 1;
      if (tag === 'body' || place.depth > MAX_DEPTH) {
        place.isAtEnd = true;
        parser.pause();
      }
      if (tag === 'title') place.isInTitle = title === '';
      if (tag !== 'meta') return;
      const name = (attributes['property'] ?? attributes['name'] ?? '').trim().toLowerCase();
      const content = attributes['content']?.trim() ?? '';
      // The first of several equal elements counts, such as the main image.
      if (KNOWN_NAMES.has(name) && content !== '' && !found.has(name)) found.set(name, content);
    },
    ontext(text) {
      if (place.isInTitle) title += text;
    },
    onclosetag(tag) {
      place.depth -= 1;
      if (tag === 'title') place.isInTitle = false;
    },
  });
  for await (const part of parts) {
    parser.write(part);
    if (place.isAtEnd) break;
  }
  parser.end();

  const valueOf = (names: readonly string[]) => names.map((name) => found.get(name)).find(Boolean);
  const metadata: PageMetadata = {
    title: toText(valueOf(NAMES.title) ?? title, MAX_TITLE_CHARACTERS),
    description: toText(valueOf(NAMES.description), MAX_DESCRIPTION_CHARACTERS),
    siteName: toText(valueOf(NAMES.siteName), MAX_SITE_NAME_CHARACTERS),
    imageUrl: valueOf(NAMES.imageUrl) ?? null,
  };
  return metadata.title === null && metadata.description === null ? null : metadata;
}

/**
 * Returns a text on one line, or null if nothing visible is left. Removes control characters. Some of them could reverse the
 * direction of the text that a client shows around it.
 */
function toText(text: string | undefined, limit: number): string | null {
  const line = (text ?? '')
    .slice(0, PROCESSED_CHARACTERS)
    .toWellFormed()
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .replace(/[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/g, '')
    .trim();
  return isVisible(line) ? cut(line, limit) : null;
}
