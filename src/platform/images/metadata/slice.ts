/**
 * Returns a part of a buffer.
 *
 * @throws RangeError if the buffer ends before `end`, like the read functions of a Buffer
 */
export function slice(bytes: Buffer, start: number, end: number): Buffer {
  if (end > bytes.length || end < start) throw new RangeError('The structure of the image is broken.');
  return bytes.subarray(start, end);
}
