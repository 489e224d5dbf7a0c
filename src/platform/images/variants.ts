import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';
import type { Decoder } from './decoder.ts';
import type { ImageHeader } from './header.ts';
import { writeImage } from './imageFile.ts';
import type { ImageVariantFile, ImageVariants } from './images.ts';

/** Maximum size of an image, in pixels. */
interface Box {
  width: number;
  height: number;
}

const PREVIEW: Box = { width: 1_280, height: 1_280 };
const THUMBNAIL: Box = { width: 320, height: 320 };
/** Maximum size that ThumbHash allows. */
const HASHED: Box = { width: 100, height: 100 };
/** Quality of the variants, 0 to 100. */
const QUALITY = 80;

/** Creates the variants of an image, and writes them to a folder. Decodes a still image once. */
export async function createVariants(decoder: Decoder, header: ImageHeader, folder: string): Promise<ImageVariants> {
  const firstFrame = await decodeFirstFrame(decoder, PREVIEW);
  const preview = header.isStill
    ? await encode(firstFrame())
    : await decoder.run((image) => encode(shrink(image, PREVIEW)), { animated: true });
  const thumbnail = await encode(shrink(firstFrame(), THUMBNAIL));
  return {
    width: header.width,
    height: header.height,
    thumbHash: await hash(firstFrame()),
    preview: await write(join(folder, 'preview.webp'), preview),
    thumbnail: await write(join(folder, 'thumbnail.webp'), thumbnail),
  };
}

/** Encodes the first frame of an image as WebP, so that it fits into a box, and writes it to a folder. */
export async function shrinkFirstFrame(
  decoder: Decoder,
  box: Box,
  folder: string,
): Promise<{ file: ImageVariantFile; thumbHash: string }> {
  const firstFrame = await decodeFirstFrame(decoder, box);
  const file = await write(join(folder, 'shrunk.webp'), await encode(firstFrame()));
  return { file, thumbHash: await hash(firstFrame()) };
}

/** Decodes the first frame of an image, upright and shrunk. Returns a function that opens the pixels. */
async function decodeFirstFrame(decoder: Decoder, box: Box): Promise<() => Sharp> {
  const { data, info } = await decoder.run((image) =>
    shrink(image.autoOrient(), box).toColourspace('srgb').raw().toBuffer({ resolveWithObject: true }),
  );
  return () => sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
}

/** Shrinks an image to fit into a box. Never enlarges it. */
function shrink(image: Sharp, box: Box): Sharp {
  return image.resize({ ...box, fit: 'inside', withoutEnlargement: true });
}

type Encoded = Awaited<ReturnType<typeof encode>>;

function encode(image: Sharp) {
  return image.webp({ quality: QUALITY }).toBuffer({ resolveWithObject: true });
}

async function hash(image: Sharp): Promise<string> {
  const { data, info } = await shrink(image, HASHED).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return Buffer.from(rgbaToThumbHash(info.width, info.height, data)).toString('base64');
}

async function write(path: string, { data, info }: Encoded): Promise<ImageVariantFile> {
  const file = await writeImage(path, 'image/webp', data);
  // The height of an animation is that of all frames together.
  return { ...file, width: info.width, height: info.pageHeight ?? info.height };
}
