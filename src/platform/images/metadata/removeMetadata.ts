import { removeFromGif } from './gif.ts';
import { removeFromHeif } from './heif.ts';
import { removeFromJpeg } from './jpeg.ts';
import { removeFromPng } from './png.ts';
import { removeFromWebp } from './webp.ts';
import { UnreadableImage } from '../unreadableImage.ts';

/**
 * Removes the metadata of an image without decoding it: EXIF, XMP, IPTC, comments, and everything that the format does
 * not need to show the image, such as data after its end. Pixels, colour profile and animation stay byte for byte.
 *
 * @param orientation EXIF orientation, 1 to 8. If it is not 1, the result has an EXIF block with this value only.
 * @throws UnreadableImage if the structure of the file is broken
 */
export function removeMetadata(bytes: Buffer, mediaType: string, orientation: number): Buffer {
  try {
    return Buffer.concat(partsOf(bytes, mediaType, orientation === 1 ? null : orientationTag(orientation)));
  } catch (error) {
    // Reads beyond the end of a buffer throw a RangeError.
    if (error instanceof RangeError) throw new UnreadableImage(error.message, { cause: error });
    throw error;
  }
}

function partsOf(bytes: Buffer, mediaType: string, tag: Buffer | null): Uint8Array[] {
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
