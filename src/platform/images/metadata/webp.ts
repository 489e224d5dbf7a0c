import { slice } from './slice.ts';

const HEADER_BYTES = 12;
const NEEDED = new Set(['VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'ANMF', 'ICCP']);
/** Bits of the first byte of `VP8X` that announce the chunks `EXIF` and `XMP `. */
const [HAS_EXIF, HAS_XMP] = [0x08, 0x04];

/** A chunk of a WebP file, with its padding. */
interface Chunk {
  type: string;
  data: Buffer;
}

/**
 * Removes EXIF, XMP and unknown chunks.
 *
 * @param exif TIFF data of the only EXIF chunk of the result, or null for none
 */
export function* removeFromWebp(bytes: Buffer, exif: Buffer | null): Generator<Uint8Array> {
  let size = 4 + (exif ? sizeOf(exif) : 0);
  for (const { type, data } of chunksIn(bytes)) if (NEEDED.has(type)) size += sizeOf(data);
  const header = Buffer.from(slice(bytes, 0, HEADER_BYTES));
  header.writeUInt32LE(size, 4);
  yield header;
  for (const { type, data } of chunksIn(bytes)) {
    if (NEEDED.has(type)) yield* chunk(type, type === 'VP8X' ? withoutFlags(data, exif !== null) : data);
  }
  if (exif) yield* chunk('EXIF', exif);
}

/** Returns whether a file has more frames than `limit`. Ignores what follows a broken chunk. */
export function hasMoreFramesInWebp(bytes: Buffer, limit: number): boolean {
  let frames = 0;
  try {
    for (const { type } of chunksIn(bytes)) if (type === 'ANMF' && ++frames > limit) return true;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return false;
}

/** @throws RangeError if a chunk is longer than the file */
function* chunksIn(bytes: Buffer): Generator<Chunk> {
  const end = Math.min(8 + bytes.readUInt32LE(4), bytes.length);
  for (let position = HEADER_BYTES; position + 8 <= end;) {
    const size = bytes.readUInt32LE(position + 4);
    const type = bytes.toString('latin1', position, position + 4);
    yield { type, data: slice(bytes, position + 8, position + 8 + size) };
    position += 8 + size + (size % 2);
  }
}

function withoutFlags(vp8x: Buffer, hasExif: boolean): Buffer {
  const copy = Buffer.from(vp8x);
  copy.writeUInt8((copy.readUInt8(0) & ~(HAS_EXIF | HAS_XMP)) | (hasExif ? HAS_EXIF : 0), 0);
  return copy;
}

/** Returns the number of bytes of a chunk with this data. */
function sizeOf({ length }: Buffer): number {
  return 8 + length + (length % 2);
}

function* chunk(type: string, data: Buffer): Generator<Uint8Array> {
  const head = Buffer.alloc(8);
  head.write(type, 'latin1');
  head.writeUInt32LE(data.length, 4);
  yield head;
  yield data;
  if (data.length % 2) yield Buffer.alloc(1);
}
