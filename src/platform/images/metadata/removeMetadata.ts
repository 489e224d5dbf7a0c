import { removeFromGif } from './gif.ts';
import { removeFromHeif } from './heif.ts';
import { removeFromJpeg } from './jpeg.ts';
import { removeFromPng } from './png.ts';
import { removeFromWebp } from './webp.ts';
import { UnreadableImage } from '../unreadableImage.ts';

/** Maximum number of bytes by which a result is longer than its file: those of the EXIF block, padding and the end of the image. */
const MAX_ADDED_BYTES = 128;

/**
 * Removes the metadata of an image without decoding it: EXIF, XMP, IPTC, comments, and everything that the format does
 * not need to show the image, such as data after its end. Pixels, colour profile and animation stay byte for byte.
 *
 * @param orientation EXIF orientation, 1 to 8. If it is not 1, the result has an EXIF block with this value only.
 * @throws UnreadableImage if the structure of the file is broken
 */
export function removeMetadata(bytes: Buffer, mediaType: string, orientation: number): Buffer {
  try {
    const parts = partsOf(bytes, mediaType, orientation === 1 ? null : orientationTag(orientation));
    return join(parts, bytes.length + MAX_ADDED_BYTES);
  } catch (error) {
    // Reads beyond the end of a buffer throw a RangeError.
    if (error instanceof RangeError) throw new UnreadableImage(error.message, { cause: error });
    throw error;
  }
}

/**
 * Joins parts to one buffer. The parts are generated one by one, because a hostile file has millions of them, and a list
 * of them exceeds the heap of the worker.
 *
 * @throws RangeError if there are more than `maxBytes`
 */
function join(parts: Iterable<Uint8Array>, maxBytes: number): Buffer {
  const joined = Buffer.alloc(maxBytes);
  let length = 0;
  for (const part of parts) {
    joined.set(part, length);
    length += part.length;
  }
  return joined.subarray(0, length);
}

function partsOf(bytes: Buffer, mediaType: string, tag: Buffer | null): Iterable<Uint8Array> {
  switch (mediaType) {
    case 'image/jpeg':
      return removeFromJpeg(bytes, tag);
    case 'image/png':
    case 'image/apng':
      return removeFromPng(bytes, tag);
    case 'image/webp':
      return removeFromWebp(bytes, tag);
    case 'image/gif':
      return removeFromGif(bytes);
    default:
      // HEIF and AVIF turn images by a property of the image, which stays.
      return removeFromHeif(bytes);
  }
}

/** Returns EXIF data with an orientation only: a TIFF header and one directory with one entry. */
function orientationTag(orientation: number): Buffer {
  const tag = Buffer.from('4d4d002a00000008000101120003000000010000000000000000', 'hex');
  tag.writeUInt16BE(orientation, 18);
  return tag;
}
