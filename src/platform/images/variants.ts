import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';
import type { Decoder } from './decoder.ts';
import type { ImageHeader } from './header.ts';
import { writeImage } from './imageFile.ts';
import type { ImageVariantFile, ImageVariants } from './images.ts';

const PREVIEW_PX = 1_280;
const THUMBNAIL_PX = 320;
/** Maximum width and height that ThumbHash allows. */
const HASH_PX = 100;
/** Quality of the variants, 0 to 100. */
const QUALITY = 80;

/** Creates the variants of an image, and writes them to a folder. Decodes a still image once. */
export async function createVariants(decoder: Decoder, header: ImageHeader, folder: string): Promise<ImageVariants> {
  const { data, info } = await decoder.run((image) =>
    shrink(image.autoOrient(), PREVIEW_PX).toColourspace('srgb').raw().toBuffer({ resolveWithObject: true }),
  );
  const firstFrame = () => sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
  const preview = header.isStill
    ? await encode(firstFrame())
    : await decoder.run((image) => encode(shrink(image, PREVIEW_PX)), { animated: true });
  const thumbnail = await encode(shrink(firstFrame(), THUMBNAIL_PX));
  return {
    width: header.width,
    height: header.height,
    thumbHash: await hash(shrink(firstFrame(), HASH_PX)),
    preview: await write(join(folder, 'preview.webp'), preview),
    thumbnail: await write(join(folder, 'thumbnail.webp'), thumbnail),
  };
}

/** Shrinks an image to fit into a square. Never enlarges it. */
function shrink(image: Sharp, size: number): Sharp {
  return image.resize({ width: size, height: size, fit: 'inside', withoutEnlargement: true });
}

type Encoded = Awaited<ReturnType<typeof encode>>;

function encode(image: Sharp) {
  return image.webp({ quality: QUALITY }).toBuffer({ resolveWithObject: true });
}

async function hash(image: Sharp): Promise<string> {
  const { data, info } = await image.ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return Buffer.from(rgbaToThumbHash(info.width, info.height, data)).toString('base64');
}

async function write(path: string, { data, info }: Encoded): Promise<ImageVariantFile> {
  const file = await writeImage(path, 'image/webp', data);
  // The height of an animation is that of all frames together.
  return { ...file, width: info.width, height: info.pageHeight ?? info.height };
}
