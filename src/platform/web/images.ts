import type { WebClient } from './webClient.ts';

/** Maximum number of bytes of an image, before and after decompression. Larger images are not used. */
const MAX_IMAGE_BYTES = 5_000_000;

/**
 * Requests an image. Does not check that the bytes are those of an image.
 *
 * @returns null if the URL is not allowed, the request fails, or the resource is too large
 * @throws ChatError `RATE_LIMITED` if too many requests are running
 */
export function fetchImage(client: WebClient, url: string): Promise<Buffer | null> {
  const request = { accept: 'image/avif,image/webp,image/png,image/jpeg,image/gif', maxBytes: MAX_IMAGE_BYTES + 1 };
  return client.get(url, request, async ({ body }) => {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    return bytes.length > MAX_IMAGE_BYTES ? null : bytes;
  });
}
