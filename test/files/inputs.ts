import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { onTestFinished } from 'vitest';

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
