import { pipeline, Readable } from 'node:stream';
import { DecodeStream } from 'encoding-sniffer';
import { type PageMetadata, readMetadata } from './pageMetadata.ts';
import type { WebClient } from './webClient.ts';

/** Maximum number of bytes of a page that are read, before and after decompression. */
const MAX_PAGE_BYTES = 1_000_000;

/**
 * Requests a page and reads its metadata. Does not run scripts, and follows no redirect inside the page.
 *
 * @returns null if the URL is not allowed, the request fails, or the resource is not a page with metadata
 * @throws ChatError `RATE_LIMITED` if too many requests are running
 */
export function fetchPage(client: WebClient, url: string): Promise<PageMetadata | null> {
  const request = { accept: 'text/html,application/xhtml+xml', maxBytes: MAX_PAGE_BYTES };
  return client.get(url, request, async ({ contentType, body, url: base }) => {
    const [, charset] = /;\s*charset="?([^\s;"]+)/i.exec(contentType) ?? [];
    if (!/^(text\/html|application\/xhtml\+xml)\s*(;|$)/i.test(contentType.trim())) return null;
    const decoder = new DecodeStream({
      defaultEncoding: 'utf-8',
      ...(charset === undefined ? {} : { transportLayerEncodingLabel: charset }),
    });
    const metadata = await readMetadata(pipeline(Readable.from(body), decoder, () => undefined));
    if (!metadata) return null;
    const { imageUrl } = metadata;
    const isUrl = imageUrl !== null && URL.canParse(imageUrl, base);
    return { ...metadata, imageUrl: isUrl ? new URL(imageUrl, base).href : null };
  });
}
