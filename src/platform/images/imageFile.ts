import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { ImageFile } from './images.ts';

/** Writes an image, and returns its size and digest. */
export async function writeImage(path: string, mediaType: string, bytes: Buffer): Promise<ImageFile> {
  await writeFile(path, bytes);
  return { path, mediaType, byteSize: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}
