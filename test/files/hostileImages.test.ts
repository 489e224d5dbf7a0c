import sharp from 'sharp';
import { expect, test } from 'vitest';
import { createTestImages, pngChunk, quarters, writeTemporary } from './inputs.ts';

const { images, processed, process: processImage } = createTestImages();

/** Size of a file with as many parts as a user may upload, in bytes. */
const LARGE = 24_000_000;

/** Returns a little-endian number of 32 or 24 bits. */
function littleEndian(value: number, bytes: 3 | 4 = 4): Buffer {
  const number = Buffer.alloc(bytes);
  number.writeUIntLE(value, 0, bytes);
  return number;
}

/** Returns a WebP animation of one red pixel in a corner of a canvas. Its size is `bytes` or a little less. */
async function webpFrames(canvas: number, { bytes = Infinity, frames = Infinity }): Promise<Buffer> {
  const pixel = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
    .webp({ lossless: true })
    .toBuffer();
  const chunk = (type: string, ...parts: Buffer[]) => {
    const data = Buffer.concat(parts);
    return Buffer.concat([Buffer.from(type), littleEndian(data.length), data]);
  };
  const [start, size, duration] = [Buffer.alloc(12), littleEndian(canvas - 1, 3), Buffer.from([10, 0, 0, 0])];
  const frame = chunk('ANMF', start, duration, pixel.subarray(12));
  return chunk(
    'RIFF',
    Buffer.from('WEBP'),
    chunk('VP8X', Buffer.from([2, 0, 0, 0]), size, size),
    chunk('ANIM', Buffer.alloc(6)),
    Buffer.alloc(Math.min(frames, Math.floor(bytes / frame.length)) * frame.length, frame),
  );
}

/** Returns a GIF animation of one pixel. */
async function gifFrames(bytes: number): Promise<Buffer> {
  const pixel = await quarters(1, 1).gif().toBuffer();
  // The image ends with the trailer, and begins behind the head and the colours.
  const start = 13 + 3 * 2 ** ((pixel.readUInt8(10) & 7) + 1);
  const frame = pixel.subarray(pixel.indexOf(0x2c, start), -1);
  return Buffer.concat([
    pixel.subarray(0, start),
    Buffer.alloc(bytes - (bytes % frame.length), frame),
    Buffer.from(';'),
  ]);
}

/** Returns an image with a part repeated behind the part that ends before `at`. */
function repeat(image: Buffer, at: number, part: Buffer): Buffer {
  return Buffer.concat([image.subarray(0, at), Buffer.alloc(LARGE - (LARGE % part.length), part), image.subarray(at)]);
}

/**
 * Returns a HEIC with one item of metadata, and an index with `items` places of it.
 *
 * @param sizes sizes of offset and length of each place, in bytes, as in `iloc`
 * @param place one item of the index
 */
function heic(items: number, sizes: number, place: Buffer): Buffer {
  const box = (type: string, ...parts: Buffer[]) => {
    const [data, size] = [Buffer.concat(parts), Buffer.alloc(4)];
    size.writeUInt32BE(8 + data.length);
    return Buffer.concat([size, Buffer.from(type), data]);
  };
  const [version, count] = [Buffer.alloc(4), Buffer.alloc(2)];
  count.writeUInt16BE(items);
  const entry = box('infe', Buffer.from([2, 0, 0, 0, 0, 1, 0, 0]), Buffer.from('Exif\0'));
  const index = box('iloc', version, Buffer.from([sizes, 0]), count, Buffer.alloc(items * place.length, place));
  return Buffer.concat([
    box('ftyp', Buffer.from('heic\0\0\0\0heicmif1')),
    box('meta', version, box('iinf', version, Buffer.from([0, 1]), entry), index),
    box('mdat', Buffer.alloc(10_000_000)),
  ]);
}

test('an animation of 500,000 frames costs no search for them', async () => {
  const bytes = await webpFrames(1, { bytes: LARGE });
  expect((await processed(bytes, 'image/webp')).variants).toBeNull();
  const [path, folder] = [await writeTemporary(bytes.subarray(0)), '/nowhere'];
  expect(await images.shrinkImage({ path, folder, width: 9, height: 9 })).toEqual({ outcome: 'UNREADABLE' });
});

test('an image of millions of parts fits into the heap of a worker', async () => {
  const [png, jpeg] = [await quarters(8, 8).png().toBuffer(), await quarters(8, 8).jpeg().toBuffer()];
  const many: [string, Buffer][] = [
    ['image/gif', await gifFrames(LARGE)],
    ['image/jpeg', repeat(jpeg, 2, Buffer.from('ffdb0002', 'hex'))],
    ['image/png', repeat(png, png.indexOf('IDAT') - 4, pngChunk('IDAT', Buffer.alloc(0)))],
  ];
  for (const [mediaType, bytes] of many) {
    expect([mediaType, (await processImage(bytes, mediaType)).result.outcome]).toEqual([mediaType, 'READY']);
  }
});

test('a HEIC whose index names the same bytes again and again ends at once', async () => {
  // 60,000 items with 65,535 places each, which need no bytes of their own.
  const endless = heic(60_000, 0, Buffer.from('00010000ffff', 'hex'));
  expect((await processImage(endless, 'image/heic')).result.outcome).toBe('READY');
  // 60,000 places of 8 MB.
  const overlapping = heic(60_000, 0x44, Buffer.from('000100000001000f4240007a1200', 'hex'));
  expect((await processImage(overlapping, 'image/heic')).result.outcome).toBe('UNREADABLE');
});

test('an animation whose frames together exceed 210 megapixels has no variants', async () => {
  const small = await webpFrames(300, { frames: 100 });
  expect((await processed(small, 'image/webp')).variants).toMatchObject({ width: 300, height: 300 });
  // Decoding this file of 5 KB takes 2 GB.
  const large = await webpFrames(2_230, { frames: 100 });
  expect(large.length).toBeLessThan(6_000);
  expect((await processed(large, 'image/webp')).variants).toBeNull();
});
