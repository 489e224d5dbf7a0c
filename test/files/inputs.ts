import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { afterAll, onTestFinished } from 'vitest';
import {
  createImageProcessor,
  type ImageProcessor,
  type ImageVariants,
  type ProcessedImage,
} from '../../src/platform/images/images.ts';
import { createGauges, type Gauges } from '../../src/platform/observability/gauges.ts';

/** Creates a folder that is removed after the test. */
export async function createFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-files-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a file into a new folder that is removed after the test, and returns its path. */
export async function writeTemporary(bytes: Uint8Array | string): Promise<string> {
  const path = join(await createFolder(), 'upload');
  await writeFile(path, bytes);
  return path;
}

/** A processor for the tests of a file, and the results of its tasks. */
export interface TestImages {
  images: ImageProcessor;
  gauges: Gauges;
  /** Processes an image in a new folder. */
  process: (bytes: Uint8Array, mediaType: string) => Promise<{ result: ProcessedImage; path: string; folder: string }>;
  /** Processes an image that is expected to be readable. Returns its variants, and the path of the original to serve. */
  processed: (bytes: Uint8Array, mediaType: string) => Promise<{ variants: ImageVariants | null; original: string }>;
}

/** Creates an image processor that ends after the tests of the file. */
export function createTestImages(options: { keepsMetadata?: boolean; decodingMs?: number } = {}): TestImages {
  const gauges = createGauges();
  const images = createImageProcessor({ keepsMetadata: false, gauges, ...options });
  afterAll(() => images.close());
  async function process(bytes: Uint8Array, mediaType: string) {
    const [path, folder] = [await writeTemporary(bytes), await createFolder()];
    return { result: await images.processImage({ path, mediaType, folder }), path, folder };
  }
  return {
    images,
    gauges,
    process,
    async processed(bytes, mediaType) {
      const { result, path } = await process(bytes, mediaType);
      if (result.outcome !== 'READY') throw new Error(`The ${mediaType} is unreadable.`);
      return { variants: result.variants, original: result.original?.path ?? path };
    },
  };
}

/** Returns an archive with stored entries, the first first. */
export function zip(entries: Record<string, string>): Buffer {
  const locals = Object.entries(entries).map(([name, content]) => {
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50);
    header.writeUInt16LE(20, 4);
    header.writeUInt32LE(crc32(content), 14);
    header.writeUInt32LE(Buffer.byteLength(content), 18);
    header.writeUInt32LE(Buffer.byteLength(content), 22);
    header.writeUInt16LE(name.length, 26);
    return Buffer.concat([header, Buffer.from(name), Buffer.from(content)]);
  });
  const centrals = Object.keys(entries).map((name, index) => {
    const header = Buffer.alloc(46);
    header.writeUInt32LE(0x02014b50);
    locals[index]!.copy(header, 6, 4, 30);
    header.writeUInt32LE(
      locals.slice(0, index).reduce((sum, { length }) => sum + length, 0),
      42,
    );
    return Buffer.concat([header, Buffer.from(name)]);
  });
  const [body, directory] = [Buffer.concat(locals), Buffer.concat(centrals)];
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(locals.length, 8);
  end.writeUInt16LE(locals.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(body.length, 16);
  return Buffer.concat([body, directory, end]);
}

/** Returns a document of Word, Excel or PowerPoint. */
export function officeDocument(folder: 'word' | 'xl' | 'ppt', contentType: string): Buffer {
  const types = `<Types><Override PartName="/${folder}/document.xml" ContentType="${contentType}.main+xml"/></Types>`;
  return zip({ '[Content_Types].xml': types, [`${folder}/document.xml`]: '<document/>' });
}

/** Returns an image of four quarters: red, green, blue and white. */
export function quarters(width: number, height: number): Sharp {
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [right, bottom] = [x >= width / 2, y >= height / 2];
      const colour = bottom ? (right ? [255, 255, 255] : [0, 0, 255]) : right ? [0, 255, 0] : [255, 0, 0];
      pixels.set(colour, (y * width + x) * 3);
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

/** Returns the pixels of a camera that was held so that its image must be turned to be upright. */
export async function stored(upright: Sharp, orientation: number): Promise<Sharp> {
  // sharp mirrors before it rotates.
  const png = async (image: Sharp) => sharp(await image.png().toBuffer());
  const image = await png(upright);
  switch (orientation) {
    case 2:
      return image.flop();
    case 3:
      return image.rotate(180);
    case 4:
      return image.flip();
    case 5:
      return (await png(image.rotate(90))).flop();
    case 6:
      return image.rotate(270);
    case 7:
      return (await png(image.rotate(270))).flop();
    case 8:
      return image.rotate(90);
    default:
      return image;
  }
}

/** Returns a black PNG with one bit for each pixel. 900 megapixels take 109 KB. */
export function blackPng(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header[8] = 1;
  const rows = Buffer.alloc((1 + Math.ceil(width / 8)) * height);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(rows, { level: 9 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

export function pngChunk(type: string, data: Buffer): Buffer {
  const chunk = Buffer.concat([Buffer.alloc(4), Buffer.from(type), data, Buffer.alloc(4)]);
  chunk.writeUInt32BE(data.length);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4);
  return chunk;
}

/** Returns an image with colours that change in each row and column, and some noise. */
export function photo(width: number, height: number): Sharp {
  const pixels = Buffer.alloc(width * height * 3);
  let noise = 1;
  for (let i = 0; i < pixels.length; i += 3) {
    const [x, y] = [(i / 3) % width, Math.floor(i / 3 / width)];
    noise = (noise * 1_103_515_245 + 12_345) & 0x7fffffff;
    const grain = (noise >> 16) % 9;
    pixels[i] = (x / width) * 200 + 20 * Math.sin(y / 50) + 20 + grain;
    pixels[i + 1] = (y / height) * 200 + 20 * Math.sin(x / 70) + 20 + grain;
    pixels[i + 2] = 128 + 100 * Math.sin((x + y) / 200) + grain;
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

/** Metadata of a phone, with a place. */
export function taken(image: Sharp, orientation = 1): Sharp {
  return image.withMetadata({ orientation }).withExifMerge({
    IFD0: { Make: 'Phone', Model: 'Of ann', Artist: 'ann' },
    IFD2: { DateTimeOriginal: '2026:01:02 03:04:05' },
    IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '52/1 30/1 0/1', GPSLongitudeRef: 'E', GPSLongitude: '13/1 24/1 0/1' },
  });
}

/** Returns the colours of the quarters of an image as it is stored: top left, top right, bottom left, bottom right. */
export async function coloursOf(path: string): Promise<string[]> {
  const names = new Map([
    ['200', 'red'],
    ['020', 'green'],
    ['002', 'blue'],
    ['222', 'white'],
  ]);
  const { data, info } = await sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const centres = [0.25, 0.75].flatMap((y) => [0.25, 0.75].map((x) => [x, y] as const));
  return centres.map(([x, y]) => {
    const at = (Math.floor(y * info.height) * info.width + Math.floor(x * info.width)) * info.channels;
    const levels = [...data.subarray(at, at + 3)].map((value) => Math.round(value / 127.5)).join('');
    return names.get(levels) ?? levels;
  });
}

/** Returns the peak signal-to-noise ratio of two images in dB. Nobody sees a difference above 45 dB. */
export async function compare(one: Sharp, other: Sharp): Promise<number> {
  const [a, b] = [await one.raw().toBuffer(), await other.raw().toBuffer()];
  if (a.length !== b.length) throw new Error('The images differ in size.');
  let [error, count] = [0, 0];
  // Every 7th value, which are values of all colours.
  for (let i = 0; i < a.length; i += 7, count += 1) error += (a[i]! - b[i]!) ** 2;
  return 10 * Math.log10((255 ** 2 * count) / error);
}

/** Returns frames of one colour each, as an animation. */
export async function animation(count: number, width: number, height: number): Promise<Sharp> {
  const frames = Array.from({ length: count }, (_, index) =>
    sharp({
      create: { width, height, channels: 3, background: { r: index * 2, g: 255 - index * 2, b: (index * 7) % 256 } },
    })
      .png()
      .toBuffer(),
  );
  return sharp(await Promise.all(frames), { join: { animated: true } });
}

/** Returns a silent sound of 8,000 samples a second. */
export function wav(milliseconds: number): Buffer {
  const samples = Buffer.alloc(8 * milliseconds, 128);
  const header = Buffer.alloc(44);
  header.write('RIFF');
  header.writeUInt32LE(36 + samples.length, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  // PCM, mono, 8,000 samples and bytes a second, 1 byte a sample.
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8_000, 24);
  header.writeUInt32LE(8_000, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write('data', 36);
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]);
}
