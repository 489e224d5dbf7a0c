import { join } from 'node:path';
import type { Decoder } from './decoder.ts';
import type { ImageHeader } from './header.ts';
import { writeImage } from './imageFile.ts';
import type { ImageFile } from './images.ts';
import { removeMetadata } from './metadata/removeMetadata.ts';
import { UnreadableImage } from './unreadableImage.ts';

/**
 * JPEG and WebP quality of an original that is turned upright. The error of such a copy is less than 1 of 255 (50 dB),
 * which nobody sees. The file grows by a quarter.
 */
const QUALITY = 95;

/**
 * Writes the original without metadata. The metadata is cut out of the file, so that all pixels stay as they are. Only
 * an image that EXIF turns is decoded and encoded again, because its pixels must move.
 *
 * @param image.header null for a format that is not decoded
 * @param image.mayDecode whether the image may be decoded. If not, the result keeps its EXIF orientation.
 * @returns null if the file has no metadata
 * @throws UnreadableImage if the image is broken
 */
export async function writeOriginal(image: {
  decoder: Decoder;
  bytes: Buffer;
  mediaType: string;
  header: ImageHeader | null;
  mayDecode: boolean;
  folder: string;
}): Promise<ImageFile | null> {
  const { decoder, bytes, mediaType, header, mayDecode, folder } = image;
  // sharp turns still images only. Animations come from no camera.
  const isTurned = mayDecode && header?.isStill === true && header.orientation !== 1;
  const turned = isTurned ? await encodeUpright(decoder, mediaType, header) : null;
  const cleaned = turned ?? removeMetadata(bytes, mediaType, header?.orientation ?? 1);
  return cleaned.equals(bytes) ? null : writeImage(join(folder, 'original'), mediaType, cleaned);
}

/** Returns null for an image that cannot be encoded, for example because of a profile that does not fit its pixels. */
async function encodeUpright(decoder: Decoder, mediaType: string, header: ImageHeader): Promise<Buffer | null> {
  try {
    return await decoder.run((image) => {
      const upright = image.autoOrient();
      switch (mediaType) {
        case 'image/jpeg':
          return upright
            .keepIccProfile()
            .jpeg({ quality: QUALITY, chromaSubsampling: header.hasFullChroma ? '4:4:4' : '4:2:0' })
            .toBuffer();
        case 'image/webp':
          return upright.keepIccProfile().webp({ quality: QUALITY }).toBuffer();
        default:
          return upright
            .toColourspace(header.isDeep ? 'rgb16' : 'srgb')
            .png()
            .toBuffer();
      }
    });
  } catch (error) {
    if (error instanceof UnreadableImage) return null;
    throw error;
  }
}
