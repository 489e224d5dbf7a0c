import type { Decoder } from './decoder.ts';
import { hasMoreFramesInWebp } from './metadata/webp.ts';
import { UnreadableImage } from './unreadableImage.ts';

/** Maximum number of pixels of an image. For an animation, of one frame. */
const MAX_PIXELS = 50_000_000;
const MAX_FRAMES = 100;
/**
 * Maximum number of pixels of all frames of an animation. 100 frames in full HD have 207 million. libvips holds all pixels
 * in memory if frames cover a part of the image only, so that 5 KB of WebP can take 840 MB.
 */
const MAX_ANIMATION_PIXELS = 210_000_000;

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
 * Returns whether libvips would search the frames of an image for longer than it is worth. It compares the frames of a WebP
 * file with each other: 500,000 frames, which fit into 24 MB, take hours that no timer can end.
 */
export function hasTooManyFrames(bytes: Buffer, mediaType: string): boolean {
  return mediaType === 'image/webp' && hasMoreFramesInWebp(bytes, MAX_FRAMES);
}

/**
 * Reads the header of an image without {@link hasTooManyFrames}. Decodes no pixels.
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
