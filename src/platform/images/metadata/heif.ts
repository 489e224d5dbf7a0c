import { slice } from './slice.ts';

interface Box {
  type: string;
  /** Position of the four letters of the type. */
  typeAt: number;
  /** Position of the content. */
  start: number;
  end: number;
}

/** Boxes of a file that show its images. Everything else at the top of the file is blanked, such as XMP in a `uuid`. */
const NEEDED = new Set(['ftyp', 'styp', 'meta', 'moov', 'mdat', 'idat', 'sidx', 'moof', 'free', 'skip']);

/**
 * Blanks EXIF, XMP and unknown boxes of a HEIF or AVIF file in place. Nothing moves, because boxes refer to others by
 * their position in the file.
 */
export function removeFromHeif(original: Buffer): Uint8Array[] {
  const bytes = Buffer.from(original);
  for (const box of boxesIn(bytes, 0, bytes.length)) {
    if (!NEEDED.has(box.type)) blank(bytes, box);
    if (box.type === 'meta') blankItems(bytes, box);
    if (box.type === 'moov') blankUserData(bytes, box);
  }
  return [bytes];
}

/** A generator, because a hostile file has millions of boxes. */
function* boxesIn(bytes: Buffer, start: number, end: number): Generator<Box> {
  for (let position = start; position + 8 <= end;) {
    const typeAt = position + 4;
    const type = bytes.toString('latin1', typeAt, typeAt + 4);
    const size = bytes.readUInt32BE(position);
    const isLong = size === 1;
    const fullSize = isLong ? Number(bytes.readBigUInt64BE(position + 8)) : size === 0 ? end - position : size;
    const [contentStart, boxEnd] = [position + (isLong ? 16 : 8), position + fullSize];
    if (boxEnd > end || contentStart > boxEnd) throw new RangeError('A box is longer than its container.');
    yield { type, typeAt, start: contentStart, end: boxEnd };
    position = boxEnd;
  }
}

function blank(bytes: Buffer, { typeAt, start, end }: Box): void {
  bytes.write('free', typeAt, 'latin1');
  bytes.fill(0, start, end);
}

/** Blanks the user data of a film or sequence, and of its tracks. */
function blankUserData(bytes: Buffer, moov: Box): void {
  for (const box of boxesIn(bytes, moov.start, moov.end)) {
    if (['udta', 'meta', 'uuid'].includes(box.type)) blank(bytes, box);
    if (box.type === 'trak') blankUserData(bytes, box);
  }
}

function blankItems(bytes: Buffer, meta: Box): void {
  // `meta` begins with a version and flags.
  const first = new Map<string, Box>();
  for (const box of boxesIn(bytes, meta.start + 4, meta.end)) {
    if (!first.has(box.type)) first.set(box.type, box);
    if (box.type === 'uuid') blank(bytes, box);
  }
  const [items, locations] = [first.get('iinf'), first.get('iloc')];
  if (!items || !locations) return;
  const removed = hideMetadataItems(bytes, items);
  let blanked = 0;
  for (const { start, end } of extentsOf(bytes, locations, first.get('idat'), removed)) {
    slice(bytes, start, end).fill(0);
    // Without a bound, extents that overlap would blank a large file millions of times.
    blanked += end - start;
    if (blanked > bytes.length) throw new RangeError('The metadata is longer than the file.');
  }
}

/** Makes items with metadata unknown to readers, which ignore them. Returns the ids of these items. */
function hideMetadataItems(bytes: Buffer, items: Box): Set<number> {
  const removed = new Set<number>();
  const countBytes = bytes.readUInt8(items.start) === 0 ? 2 : 4;
  for (const entry of boxesIn(bytes, items.start + 4 + countBytes, items.end)) {
    const idBytes = bytes.readUInt8(entry.start) === 2 ? 2 : 4;
    const typeAt = entry.start + 4 + idBytes + 2;
    const type = bytes.toString('latin1', typeAt, typeAt + 4);
    if (type !== 'Exif' && type !== 'mime' && type !== 'uri ') continue;
    removed.add(bytes.readUIntBE(entry.start + 4, idBytes));
    bytes.write('free', typeAt, 'latin1');
  }
  return removed;
}

/** Returns the byte ranges that contain the data of some items. */
function* extentsOf(
  bytes: Buffer,
  locations: Box,
  idat: Box | undefined,
  ids: ReadonlySet<number>,
): Generator<{ start: number; end: number }> {
  let position = locations.start;
  const read = (size: number) => {
    position += size;
    // Buffers read integers of up to six bytes. The upper two of eight are zero in any real file.
    return size === 0 ? 0 : bytes.readUIntBE(position - Math.min(size, 6), Math.min(size, 6));
  };
  const version = read(1);
  read(3);
  const [sizes, moreSizes] = [read(1), read(1)];
  const [offsetBytes, lengthBytes, baseBytes] = [sizes >> 4, sizes & 15, moreSizes >> 4];
  const indexBytes = version === 0 ? 0 : moreSizes & 15;
  const count = read(version < 2 ? 2 : 4);
  for (let item = 0; item < count; item += 1) {
    const id = read(version < 2 ? 2 : 4);
    const isInIdat = version > 0 && (read(2) & 15) === 1;
    read(2);
    const base = read(baseBytes) + (isInIdat ? (idat?.start ?? 0) : 0);
    // Extents without a position and a length are all the same, and need no bytes: thousands would take hours.
    const extentCount = Math.min(read(2), indexBytes + offsetBytes + lengthBytes > 0 ? Infinity : 1);
    for (let extent = 0; extent < extentCount; extent += 1) {
      read(indexBytes);
      const start = base + read(offsetBytes);
      const length = read(lengthBytes);
      // A length of 0 means the whole file, which would also blank the image.
      if (ids.has(id)) yield { start, end: start + length };
    }
  }
}
