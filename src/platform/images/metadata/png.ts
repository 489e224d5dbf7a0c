import { crc32 } from 'node:zlib';
import { slice } from './slice.ts';

const SIGNATURE_BYTES = 8;
/** Ancillary chunks that change how the image looks. All other chunks with a lower-case first letter are removed. */
const NEEDED = new Set([
  ...['tRNS', 'bKGD', 'sBIT', 'hIST', 'sPLT', 'pHYs'],
  ...['iCCP', 'sRGB', 'gAMA', 'cHRM', 'cICP', 'mDCV', 'mDCv', 'cLLI', 'cLLi'],
  ...['acTL', 'fcTL', 'fdAT'],
]);

/**
 * Removes texts, times, EXIF and unknown chunks, and data after the end of the image. Screenshot tools have left the
 * part there that was cropped away.
 *
 * @param exif TIFF data of the only EXIF chunk of the result, or null for none
 */
export function* removeFromPng(bytes: Buffer, exif: Buffer | null): Generator<Uint8Array> {
  yield slice(bytes, 0, SIGNATURE_BYTES);
  let position = SIGNATURE_BYTES;
  // Decoders do not need the end.
  while (position + 12 <= bytes.length) {
    const end = position + 12 + bytes.readUInt32BE(position);
    const type = bytes.toString('latin1', position + 4, position + 8);
    if (type === 'IEND') break;
    const isCritical = /^[A-Z]/.test(type);
    if (isCritical || NEEDED.has(type)) yield slice(bytes, position, end);
    if (type === 'IHDR' && exif) yield chunk('eXIf', exif);
    position = end;
  }
  yield chunk('IEND', Buffer.alloc(0));
}

function chunk(type: string, data: Buffer): Buffer {
  const content = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  checksum.writeUInt32BE(crc32(content));
  return Buffer.concat([length, content, checksum]);
}
