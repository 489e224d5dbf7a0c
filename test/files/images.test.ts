import { readdir, readFile } from 'node:fs/promises';
import sharp, { type Sharp } from 'sharp';
import { thumbHashToApproximateAspectRatio, thumbHashToAverageRGBA } from 'thumbhash';
import { expect, test } from 'vitest';
import {
  animation,
  blackPng,
  coloursOf,
  createFolder,
  createTestImages,
  photo,
  quarters,
  stored,
  writeTemporary,
} from './inputs.ts';

const { images, gauges, process: processImage, processed } = createTestImages();
const UPRIGHT = ['red', 'green', 'blue', 'white'];

test.each([
  ['image/jpeg', (image: Sharp) => image.jpeg()],
  ['image/png', (image: Sharp) => image.png()],
  ['image/gif', (image: Sharp) => image.gif()],
  ['image/webp', (image: Sharp) => image.webp()],
  ['image/avif', (image: Sharp) => image.avif()],
])('an %s has a preview, a thumbnail and a ThumbHash', async (mediaType, encode) => {
  const { variants } = await processed(await encode(quarters(1600, 800)).toBuffer(), mediaType);
  expect(variants).toMatchObject({ width: 1600, height: 800 });
  const { preview, thumbnail, thumbHash } = variants!;
  expect(preview).toMatchObject({ mediaType: 'image/webp', width: 1280, height: 640 });
  expect(thumbnail).toMatchObject({ mediaType: 'image/webp', width: 320, height: 160 });
  for (const { path, width, height, byteSize } of [preview, thumbnail]) {
    expect(await sharp(path).metadata()).toMatchObject({ format: 'webp', width, height });
    expect(await coloursOf(path)).toEqual(UPRIGHT);
    expect((await readFile(path)).length).toBe(byteSize);
  }
  const bytes = Buffer.from(thumbHash, 'base64');
  expect(thumbHashToApproximateAspectRatio(bytes)).toBeCloseTo(2, 0);
  expect(thumbHashToAverageRGBA(bytes)).toMatchObject({ r: expect.closeTo(0.5, 1), g: expect.closeTo(0.5, 1), a: 1 });
});

test.each(['jpeg', 'png', 'webp', 'avif'] as const)('a %s is turned upright from every orientation', async (format) => {
  for (const orientation of [1, 2, 3, 4, 5, 6, 7, 8]) {
    const image = (await stored(quarters(160, 80), orientation)).withMetadata({ orientation });
    const { variants, original } = await processed(await image[format]().toBuffer(), `image/${format}`);
    expect(variants).toMatchObject({ width: 160, height: 80 });
    for (const path of [original, variants!.preview.path, variants!.thumbnail.path]) {
      expect(await sharp(path).metadata()).toMatchObject({ width: 160, height: 80 });
      expect((await sharp(path).metadata()).orientation).toBeUndefined();
      expect(await coloursOf(path), `orientation ${orientation} of ${path}`).toEqual(UPRIGHT);
    }
  }
});

test.each(['gif', 'webp'] as const)('the preview of an animated %s moves, its thumbnail does not', async (format) => {
  const delay = [100, 200, 300, 400];
  const bytes = await (await animation(4, 1600, 400))[format]({ delay, loop: 3 }).toBuffer();
  const { variants } = await processed(bytes, `image/${format}`);
  expect(variants).toMatchObject({ width: 1600, height: 400 });
  expect(variants!.preview).toMatchObject({ width: 1280, height: 320 });
  expect(await sharp(variants!.preview.path).metadata()).toMatchObject({ pages: 4, delay, loop: 3 });
  expect(variants!.thumbnail).toMatchObject({ width: 320, height: 80 });
  expect((await sharp(variants!.thumbnail.path).metadata()).pages).toBeUndefined();
});

test('a small image is never enlarged', async () => {
  const { variants } = await processed(await quarters(10, 4).png().toBuffer(), 'image/png');
  const size = { width: 10, height: 4 };
  expect(variants).toMatchObject({ ...size, preview: size, thumbnail: size });
});

test('images in unusual colours have variants', async () => {
  const image = () => quarters(400, 200);
  const clear = { r: 0, g: 0, b: 0, alpha: 0 };
  const inputs: [string, Sharp][] = [
    ['image/jpeg', image().greyscale().jpeg()],
    ['image/jpeg', image().toColourspace('cmyk').jpeg()],
    ['image/jpeg', image().withIccProfile('p3').jpeg({ progressive: true })],
    ['image/png', image().toColourspace('rgb16').png()],
    ['image/png', image().toColourspace('b-w').png({ palette: true })],
    ['image/png', image().extend({ top: 200, background: clear }).png()],
    ['image/webp', image().extend({ top: 200, background: clear }).webp({ lossless: true })],
    ['image/gif', image().extend({ top: 200, background: clear }).gif()],
  ];
  for (const [mediaType, input] of inputs) {
    const { variants } = await processed(await input.toBuffer(), mediaType);
    const isClear = variants!.height === 400;
    const { channels } = await sharp(variants!.preview.path).metadata();
    expect(channels).toBe(isClear ? 4 : 3);
    const { a } = thumbHashToAverageRGBA(Buffer.from(variants!.thumbHash, 'base64'));
    expect(a).toBeCloseTo(isClear ? 0.5 : 1, 1);
  }
});

test('an image beyond the limits has no variants', async () => {
  const frames = async (count: number) => (await animation(count, 16, 16)).gif().toBuffer();
  expect((await processed(blackPng(10_000, 5_000), 'image/png')).variants).toMatchObject({ width: 10_000 });
  expect((await processed(blackPng(10_000, 5_001), 'image/png')).variants).toBeNull();
  expect((await processed(await frames(100), 'image/gif')).variants).toMatchObject({ width: 16 });
  expect((await processed(await frames(101), 'image/gif')).variants).toBeNull();
});

test('corrupt and truncated images are unreadable', async () => {
  const image = () => photo(400, 300);
  const [jpeg, png, gif] = [
    await image().jpeg().toBuffer(),
    await image().png().toBuffer(),
    await image().gif().toBuffer(),
  ];
  const [webp, avif] = [await image().webp().toBuffer(), await image().avif().toBuffer()];
  const progressive = await image().jpeg({ progressive: true }).toBuffer();
  const films = await (await animation(4, 100, 100)).webp().toBuffer();
  /** Replaces the middle of an image with bytes that fit in nowhere. */
  const corrupt = (bytes: Buffer) => {
    const copy = Buffer.from(bytes);
    copy.fill(Buffer.from('00ff41ffc3', 'hex'), Math.floor(bytes.length * 0.4), Math.floor(bytes.length * 0.6));
    return copy;
  };
  const truncate = (bytes: Buffer) => bytes.subarray(0, Math.floor(bytes.length * 0.6));
  const broken: [string, string, Uint8Array][] = [
    ...[jpeg, progressive].flatMap((bytes): [string, string, Buffer][] => [
      ['truncated JPEG', 'image/jpeg', truncate(bytes)],
      ['corrupt JPEG', 'image/jpeg', corrupt(bytes)],
    ]),
    ['truncated PNG', 'image/png', truncate(png)],
    ['corrupt PNG', 'image/png', corrupt(png)],
    ['truncated GIF', 'image/gif', truncate(gif)],
    ['corrupt GIF', 'image/gif', corrupt(gif)],
    ['truncated WebP', 'image/webp', truncate(webp)],
    ['corrupt WebP', 'image/webp', corrupt(webp)],
    ['corrupt animation', 'image/webp', corrupt(films)],
    ['truncated AVIF', 'image/avif', truncate(avif)],
    ['corrupt AVIF', 'image/avif', corrupt(avif)],
    ['truncated HEIC', 'image/heic', truncate(avif)],
    ['header only', 'image/png', png.subarray(0, 33)],
    ['beginning only', 'image/jpeg', jpeg.subarray(0, 4)],
    ['other format', 'image/jpeg', png],
    [
      'format that is not decoded',
      'image/png',
      Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    ],
  ];
  const outcomes: [string, string][] = [];
  for (const [name, mediaType, bytes] of broken) {
    const { result } = await processImage(bytes, mediaType);
    outcomes.push([name, result.outcome]);
  }
  expect(outcomes).toEqual(broken.map(([name]) => [name, 'UNREADABLE']));
});

test('a JPEG with harmless faults of cameras is readable', async () => {
  const jpeg = await photo(400, 300).jpeg().toBuffer();
  const at = jpeg.indexOf(Buffer.from('ffc4', 'hex'));
  const withGap = Buffer.concat([jpeg.subarray(0, at), Buffer.from('0000', 'hex'), jpeg.subarray(at)]);
  const { variants, original } = await processed(withGap, 'image/jpeg');
  expect(variants).toMatchObject({ width: 400, height: 300 });
  expect((await readFile(original)).equals(jpeg)).toBe(true);
});

test('a failed task does not harm the next one, and none is left', async () => {
  const folder = await createFolder();
  const path = await writeTemporary(await quarters(20, 20).png().toBuffer());
  const at = (place: string) => images.processImage({ path, mediaType: 'image/png', folder: place });
  const results = await Promise.allSettled([at('/nowhere'), at(folder), at('/nowhere'), at(folder), at('/nowhere')]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled', 'rejected']);
  expect((await readdir(folder)).toSorted()).toEqual(['preview.webp', 'thumbnail.webp']);
  expect(gauges.imageTasks).toBe(0);
});

const slow = createTestImages({ decodingMs: 0 });

test('an image that takes too long has no variants and no metadata', async () => {
  const bytes = await (
    await stored(quarters(160, 80), 6)
  )
    .withMetadata({ orientation: 6 })
    .withExifMerge({ IFD0: { Artist: 'ann' } })
    .jpeg()
    .toBuffer();
  const { variants, original } = await slow.processed(bytes, 'image/jpeg');
  expect(variants).toBeNull();
  // Without decoding, EXIF must turn the image. Nothing else is left of it.
  expect((await sharp(original).metadata()).orientation).toBe(6);
  expect((await readFile(original)).includes('ann')).toBe(false);
});
