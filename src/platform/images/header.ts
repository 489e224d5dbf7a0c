import type { Decoder } from './decoder.ts';
import { UnreadableImage } from './unreadableImage.ts';

/** Maximum number of pixels of an image. For an animation, of one frame. */
const MAX_PIXELS = 50_000_000;
const MAX_FRAMES = 100;
/** Maximum number of pixels of all frames of an animation. 100 frames in full HD have 207 million. */
const MAX_ANIMATION_PIXELS = 500_000_000;

/** Names that sharp has for the formats that it decodes. */
const FORMATS: ReadonlyMap<string, string> = new Map([
  ['image/jpeg', 'jpeg'],
  ['image/png', 'png'],
  ['image/apng', 'png'],
  ['image/gif', 'gif'],
  ['image/webp', 'webp'],
  ['image/avif', 'heif'],
]);

/** Returns true for formats that are decoded, and false for HEIC, whose decoder is patented. */
export function isDecoded(mediaType: string): boolean {
  return FORMATS.has(mediaType);
}

/** Properties of an image, from its header. */
export interface ImageHeader {
  /** Size of the upright image in pixels. */
  width: number;
  height: number;
  /** EXIF orientation, 1 to 8. */
  orientation: number;
  /** Whether the image has a single frame. */
  isStill: boolean;
  hasFullChroma: boolean;
  /** Whether colours have 16 bits. */
  isDeep: boolean;
  isWithinLimits: boolean;
}

/**
 * Reads the header of an image. Decodes no pixels.
 *
 * @throws UnreadableImage if the header is corrupt, or has another format than the media type says
 */
export async function readHeader(decoder: Decoder, mediaType: string): Promise<ImageHeader> {
  const { format, autoOrient, orientation = 1, pages, chromaSubsampling, depth } = await decoder.readMetadata();
  if (format !== FORMATS.get(mediaType)) throw new UnreadableImage(`This is ${format}, not ${mediaType}.`);
  const { width, height } = autoOrient;
  // The pages of an AVIF are separate images.
  const frames = mediaType === 'image/avif' ? 1 : (pages ?? 1);
  const pixels = width * height;
  return {
    width,
    height,
    orientation,
    isStill: frames === 1 && mediaType !== 'image/apng',
    hasFullChroma: chromaSubsampling?.startsWith('4:4:4') ?? false,
    isDeep: depth === 'ushort',
    isWithinLimits: pixels <= MAX_PIXELS && frames <= MAX_FRAMES && pixels * frames <= MAX_ANIMATION_PIXELS,
  };
}
