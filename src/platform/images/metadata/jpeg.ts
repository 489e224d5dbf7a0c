import { slice } from './slice.ts';

const [SOI, EOI, SOS, APP0, APP1, APP2, APP14, APP15, COM] = [0xd8, 0xd9, 0xda, 0xe0, 0xe1, 0xe2, 0xee, 0xef, 0xfe];

/**
 * Removes all application segments and comments, except those that decide about colours: JFIF, the ICC profile and
 * Adobe's colour transform. Ends after the first image. Phones append further images, depth maps and videos, which have
 * metadata of their own.
 *
 * @param exif TIFF data of the only EXIF segment of the result, or null for none
 */
export function* removeFromJpeg(bytes: Buffer, exif: Buffer | null): Generator<Uint8Array> {
  if (bytes.readUInt16BE(0) !== 0xff00 + SOI) throw new RangeError('This is not a JPEG.');
  yield slice(bytes, 0, 2);
  if (exif) yield exifSegment(exif);
  let position = 2;
  for (;;) {
    // Decoders skip bytes between segments.
    position = bytes.indexOf(0xff, position);
    const marker = bytes.readUInt8(position + 1);
    if (marker === EOI) break;
    if (marker === 0xff) {
      position += 1;
      continue;
    }
    let end = position + 2 + bytes.readUInt16BE(position + 2);
    if (marker === SOS) end = findScanEnd(bytes, end);
    const segment = slice(bytes, position, end);
    if (isNeeded(marker, segment)) yield segment;
    position = end;
  }
  yield Buffer.from([0xff, EOI]);
}

/** Returns the position of the marker that ends the entropy-coded data of a scan. */
function findScanEnd(bytes: Buffer, start: number): number {
  let position = start;
  for (;;) {
    position = bytes.indexOf(0xff, position);
    if (position < 0) throw new RangeError('The end of the image is missing.');
    const next = bytes.readUInt8(position + 1);
    const isData = next === 0 || (next >= 0xd0 && next <= 0xd7);
    if (!isData && next !== 0xff) return position;
    position += next === 0xff ? 1 : 2;
  }
}

function isNeeded(marker: number, segment: Buffer): boolean {
  if (marker === COM) return false;
  if (marker < APP0 || marker > APP15) return true;
  const starts = (text: string) => segment.subarray(4, 4 + text.length).equals(Buffer.from(text, 'latin1'));
  // A longer JFIF segment has a thumbnail, which may show what was cropped away.
  if (marker === APP0) return starts('JFIF\0') && segment.length === 18;
  return (marker === APP2 && starts('ICC_PROFILE\0')) || (marker === APP14 && starts('Adobe'));
}

function exifSegment(exif: Buffer): Buffer {
  const content = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), exif]);
  const head = Buffer.from([0xff, APP1, 0, 0]);
  head.writeUInt16BE(content.length + 2, 2);
  return Buffer.concat([head, content]);
}
