/** Thrown for an image that is corrupt or truncated. */
export class UnreadableImage extends Error {
  override readonly name = 'UnreadableImage';
}
