import { slice } from './slice.ts';

const [EXTENSION, IMAGE, TRAILER] = [0x21, 0x2c, 0x3b];
const [GRAPHIC_CONTROL, APPLICATION] = [0xf9, 0xff];
/** Application extensions that say how often the animation runs. */
const LOOPS = new Set(['NETSCAPE2.0', 'ANIMEXTS1.0']);

/** Removes comments, texts, XMP and other application extensions, and data after the end of the image. */
export function* removeFromGif(bytes: Buffer): Generator<Uint8Array> {
  const headEnd = 13 + colourTableBytes(bytes.readUInt8(10));
  yield slice(bytes, 0, headEnd);
  let position = headEnd;
  // Decoders accept a missing trailer.
  while (position < bytes.length && bytes.readUInt8(position) !== TRAILER) {
    const end = findBlockEnd(bytes, position);
    const block = slice(bytes, position, end);
    if (isNeeded(block)) yield block;
    position = end;
  }
  yield Buffer.from([TRAILER]);
}

function findBlockEnd(bytes: Buffer, start: number): number {
  const kind = bytes.readUInt8(start);
  if (kind !== IMAGE && kind !== EXTENSION) throw new RangeError('A block is unknown.');
  // An image has a descriptor, colours and the size of its codes before its data. An extension has a label.
  let position = start + (kind === EXTENSION ? 2 : 11 + colourTableBytes(bytes.readUInt8(start + 9)));
  for (;;) {
    const size = bytes.readUInt8(position);
    position += 1 + size;
    if (size === 0) return position;
  }
}

function isNeeded(block: Buffer): boolean {
  if (block.readUInt8(0) === IMAGE || block.readUInt8(1) === GRAPHIC_CONTROL) return true;
  return block.readUInt8(1) === APPLICATION && LOOPS.has(block.subarray(3, 14).toString('latin1'));
}

/** Returns the size of the colour table that the flags of a screen or an image announce. */
function colourTableBytes(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 0x07) + 1);
}
