import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import { findProgram } from '../support/programs.ts';
import {
  animation,
  blackPng,
  compare,
  createTestImages,
  photo,
  pngChunk,
  stored,
  taken,
  writeTemporary,
} from './inputs.ts';

const { processed } = createTestImages();
const keeping = createTestImages({ keepsMetadata: true });
const exiftool = findProgram('exiftool');

/** Words in the metadata of the fixtures. None may be left in a file that is served. */
const PRIVATE = /Phone|ann|Berlin|GPS|Exif\0|xmpmeta|at home/;

async function expectClean(path: string): Promise<void> {
  expect((await readFile(path)).toString('latin1')).not.toMatch(PRIVATE);
}

const FORMATS: [string, (image: Sharp) => Sharp][] = [
  ['image/jpeg', (image) => image.jpeg()],
  ['image/jpeg', (image) => image.jpeg({ progressive: true, chromaSubsampling: '4:4:4' })],
  ['image/png', (image) => image.png()],
  ['image/webp', (image) => image.webp()],
  ['image/avif', (image) => image.avif()],
];

test.each(FORMATS)('the original of an upright %s loses its metadata, and no pixel', async (mediaType, encode) => {
  const bytes = await encode(taken(photo(400, 300))).toBuffer();
  expect(bytes.toString('latin1')).toMatch(PRIVATE);
  const { original, variants } = await processed(bytes, mediaType);
  for (const path of [original, variants!.preview.path, variants!.thumbnail.path]) await expectClean(path);
  expect(await compare(sharp(original), sharp(bytes))).toBe(Infinity);
  expect(await sharp(original).metadata()).toMatchObject({ width: 400, height: 300 });
});

test('a turned photo of 12 megapixels keeps its quality and colours', async () => {
  const upright = photo(756, 1008).resize(3024, 4032).withIccProfile('p3');
  const taking = (await stored(upright, 6)).withMetadata({ orientation: 6 }).keepIccProfile();
  const bytes = await taken(taking, 6).keepIccProfile().jpeg({ quality: 92 }).toBuffer();
  const { original, variants } = await processed(bytes, 'image/jpeg');
  await expectClean(original);
  expect(variants).toMatchObject({ width: 3024, height: 4032, preview: { width: 960, height: 1280 } });
  const { icc, orientation, width, chromaSubsampling } = await sharp(original).metadata();
  expect({ orientation, width, chromaSubsampling }).toEqual({
    orientation: undefined,
    width: 3024,
    chromaSubsampling: '4:2:0',
  });
  expect(icc?.equals((await sharp(bytes).metadata()).icc!)).toBe(true);
  expect(await compare(sharp(original), sharp(bytes).autoOrient())).toBeGreaterThan(45);
});

test('a turned PNG of 16 bits keeps its bits', async () => {
  const image = (await stored(photo(300, 400), 6)).toColourspace('rgb16').withMetadata({ orientation: 6 });
  const bytes = await image.png().toBuffer();
  const { original } = await processed(bytes, 'image/png');
  expect(await sharp(original).metadata()).toMatchObject({ width: 300, height: 400, depth: 'ushort' });
  expect(await compare(sharp(original), sharp(bytes).autoOrient())).toBeGreaterThan(45);
});

test('images without metadata are served as they were uploaded', async () => {
  const { original } = await processed(await photo(40, 30).jpeg().toBuffer(), 'image/jpeg');
  expect(original).toMatch(/upload$/);
});

test('IMAGE_METADATA=keep serves the original as it was uploaded', async () => {
  const bytes = await taken(photo(400, 300), 6).jpeg().toBuffer();
  const { original, variants } = await keeping.processed(bytes, 'image/jpeg');
  expect((await readFile(original)).equals(bytes)).toBe(true);
  expect(variants).toMatchObject({ width: 300, height: 400 });
  await expectClean(variants!.preview.path);
});

test('bytes after the end of an image are removed', async () => {
  const [jpeg, png] = [await photo(40, 30).jpeg().toBuffer(), await photo(40, 30).png().toBuffer()];
  const hidden = await taken(photo(40, 30)).jpeg().toBuffer();
  for (const [mediaType, bytes] of [
    ['image/jpeg', jpeg],
    ['image/png', png],
  ] as const) {
    const { original } = await processed(Buffer.concat([bytes, hidden]), mediaType);
    expect((await readFile(original)).equals(bytes)).toBe(true);
  }
});

test('animations lose their comments, and keep frames and loops', async () => {
  const options = { delay: [100, 200, 300], loop: 2 };
  const gif = await (await animation(3, 40, 30)).gif(options).toBuffer();
  const comment = Buffer.from('\x21\xfe\x0bann at home\x00', 'latin1');
  const xmp = Buffer.from('\x21\xff\x0bXMP DataXMP\x0a<xmpmeta/>\x00', 'latin1');
  const withComment = Buffer.concat([gif.subarray(0, -1), comment, xmp, gif.subarray(-1)]);
  const cleanGif = (await processed(withComment, 'image/gif')).original;
  expect((await readFile(cleanGif)).equals(gif)).toBe(true);

  const webp = await taken((await animation(3, 40, 30)).webp(options)).toBuffer();
  const cleanWebp = (await processed(webp, 'image/webp')).original;
  await expectClean(cleanWebp);
  expect(await sharp(cleanWebp).metadata()).toMatchObject({ pages: 3, ...options });
});

test('an image too large to decode loses its metadata, and keeps its orientation', async () => {
  const png = blackPng(10_000, 6_000);
  const { exif } = await sharp(await taken(photo(8, 8), 6).png().toBuffer()).metadata();
  const bytes = Buffer.concat([
    ...[png.subarray(0, 33), pngChunk('eXIf', exif!), pngChunk('tEXt', Buffer.from('Author\0ann'))],
    png.subarray(33),
  ]);
  const { original, variants } = await processed(bytes, 'image/png');
  expect(variants).toBeNull();
  await expectClean(original);
  expect(await sharp(original, { limitInputPixels: false }).metadata()).toMatchObject({
    width: 10_000,
    orientation: 6,
  });
});

test('a HEIC loses its metadata without being decoded', async () => {
  // The containers are equal.
  const bytes = await taken(photo(400, 300)).avif().toBuffer();
  const { original, variants } = await processed(bytes, 'image/heic');
  expect(variants).toBeNull();
  await expectClean(original);
  expect(await compare(sharp(original), sharp(bytes))).toBe(Infinity);
});

describe.skipIf(!exiftool)('read by exiftool', () => {
  /** Returns the tags of each file that say something about its author or place. */
  async function privateTags(...paths: string[]): Promise<string[][]> {
    const { stdout } = await promisify(execFile)(exiftool ?? '', ['-json', '-G1', '-a', '-ee', ...paths]);
    return (JSON.parse(stdout) as object[]).map((tags) =>
      Object.keys(tags).filter((name) => /GPS|IFD|XMP|IPTC|Photoshop|Comment|Author|City|Error/.test(name)),
    );
  }

  test.each([...FORMATS, ['image/gif', (image: Sharp) => image.gif()] as const])(
    'an %s that exiftool has marked loses all marks',
    async (mediaType, encode) => {
      const marked = await writeTemporary(await encode(photo(400, 300)).toBuffer());
      const place = [
        '-GPSLatitude=52.5',
        '-GPSLatitudeRef=N',
        '-GPSLongitude=13.4',
        '-GPSLongitudeRef=E',
        '-Make=Phone',
      ];
      await promisify(execFile)(exiftool ?? '', [
        ...(mediaType === 'image/gif' ? [] : place),
        ...(mediaType === 'image/jpeg' ? ['-IPTC:City=Berlin'] : []),
        ...(mediaType === 'image/avif' ? [] : ['-Comment=at home']),
        ...['-XMP:City=Berlin', '-XMP:GPSLatitude=52.5', '-overwrite_original', marked],
      ]);
      const bytes = await readFile(marked);
      const { original, variants } = await processed(bytes, mediaType);
      const served = [original, variants!.preview.path, variants!.thumbnail.path];
      const [before, ...after] = await privateTags(marked, ...served);
      expect(before?.length).toBeGreaterThan(2);
      expect(after).toEqual([[], [], []]);
      expect(await compare(sharp(original), sharp(bytes))).toBe(Infinity);
    },
  );
});
