import { slice } from './slice.ts';

const HEADER_BYTES = 12;
const NEEDED = new Set(['VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'ANMF', 'ICCP']);
/** Bits of the first byte of `VP8X` that announce the chunks `EXIF` and `XMP `. */
const [HAS_EXIF, HAS_XMP] = [0x08, 0x04];

/**
 * Removes EXIF, XMP and unknown chunks.
 *
 * @param exif TIFF data of the only EXIF chunk of the result, or null for none
 */
export function removeFromWebp(bytes: Buffer, exif: Buffer | null): Uint8Array[] {
  const end = Math.min(8 + bytes.readUInt32LE(4), bytes.length);
  const chunks: Uint8Array[] = [];
  for (let position = HEADER_BYTES; position + 8 <= end;) {
    const size = bytes.readUInt32LE(position + 4);
    const type = bytes.toString('latin1', position, position + 4);
    const data = slice(bytes, position + 8, position + 8 + size);
    if (NEEDED.has(type)) chunks.push(...chunk(type, type === 'VP8X' ? withoutFlags(data, exif !== null) : data));
    position += 8 + size + (size % 2);
  }
  if (exif) chunks.push(...chunk('EXIF', exif));
  const header = Buffer.from(slice(bytes, 0, HEADER_BYTES));
  header.writeUInt32LE(4 + chunks.reduce((sum, part) => sum + part.length, 0), 4);
  return [header, ...chunks];
}

function withoutFlags(vp8x: Buffer, hasExif: boolean): Buffer {
  const copy = Buffer.from(vp8x);
  copy.writeUInt8((copy.readUInt8(0) & ~(HAS_EXIF | HAS_XMP)) | (hasExif ? HAS_EXIF : 0), 0);
  return copy;
}

function chunk(type: string, data: Buffer): Uint8Array[] {
  const head = Buffer.alloc(8);
  head.write(type, 'latin1');
  head.writeUInt32LE(data.length, 4);
  return [head, data, ...(data.length % 2 ? [Buffer.alloc(1)] : [])];
}
