import { join } from 'node:path';
import type { Decoder } from './decoder.ts';
import type { ImageHeader } from './header.ts';
import { writeImage } from './imageFile.ts';
import type { ImageFile } from './images.ts';
import { removeMetadata } from './metadata/removeMetadata.ts';

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
  const cleaned = isTurned
    ? await encodeUpright(decoder, mediaType, header)
    : removeMetadata(bytes, mediaType, header?.orientation ?? 1);
  return cleaned.equals(bytes) ? null : writeImage(join(folder, 'original'), mediaType, cleaned);
}

function encodeUpright(decoder: Decoder, mediaType: string, { hasFullChroma }: ImageHeader): Promise<Buffer> {
  return decoder.run((image) => {
    const upright = image.autoOrient().keepIccProfile();
    switch (mediaType) {
      case 'image/jpeg':
        return upright.jpeg({ quality: QUALITY, chromaSubsampling: hasFullChroma ? '4:4:4' : '4:2:0' }).toBuffer();
      case 'image/webp':
        return upright.webp({ quality: QUALITY }).toBuffer();
      default:
        return upright.png().toBuffer();
    }
  });
}
