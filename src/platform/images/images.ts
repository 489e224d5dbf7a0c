declare module '../../core/context.ts' {
  interface ServerNode {
    images: ImageProcessor;
  }
}

/** Media type of a file, decided by its bytes. */
export interface Inspection {
  /** Lower-case media type without parameters. `application/octet-stream` if the type is unknown. */
  mediaType: string;
  /** Whether the bytes contradict the claimed type, for example HTML that is claimed as `image/png`. */
  contradicts: boolean;
}

/** A file that was written by `processImage`. */
export interface ImageFile {
  path: string;
  mediaType: string;
  byteSize: number;
  /** Lower-case hexadecimal. */
  sha256: string;
}

/** An image file with its size in pixels. The file is upright. */
export interface ImageVariantFile extends ImageFile {
  width: number;
  height: number;
}

export interface ImageVariants {
  /** Size of the upright original in pixels. */
  width: number;
  height: number;
  /** ThumbHash in base64. */
  thumbHash: string;
  /** WebP of at most 1,280 × 1,280 px. Animated if the original is. */
  preview: ImageVariantFile;
  /** WebP of at most 320 × 320 px. Never animated. */
  thumbnail: ImageVariantFile;
}

/**
 * Result of processing an image. If it is `READY`, `original` is the file to serve instead of the uploaded one, or null
 * if the uploaded file is to be served unchanged. `variants` is null for an image beyond the limits, and for one that
 * takes too long.
 */
export type ProcessedImage =
  { outcome: 'READY'; original: ImageFile | null; variants: ImageVariants | null } | { outcome: 'UNREADABLE' };

/** Media types that `processImage` accepts. HEIC has no variants, because the decoder is patented. */
const IMAGE_TYPES = new Set([
  ...['image/jpeg', 'image/png', 'image/apng', 'image/gif', 'image/webp', 'image/avif'],
  ...['image/heic', 'image/heif', 'image/heic-sequence', 'image/heif-sequence'],
]);

/** Returns true if `processImage` must process files of this media type before they are served. */
export function isImage(mediaType: string): boolean {
  return IMAGE_TYPES.has(mediaType);
}

/** Inspects and processes files in worker threads, never on the event loop. At most two at a time; further ones wait. */
export interface ImageProcessor {
  /**
   * Returns the media type of a file by its bytes.
   *
   * @param claimedType media type that the client has named, with or without parameters. An empty text or
   *   `application/octet-stream` claims nothing.
   * @throws Error if the file cannot be read or the time limit has passed; the caller must retry later
   */
  inspect(path: string, claimedType: string): Promise<Inspection>;
  /**
   * Removes the metadata of an image, and creates its variants. Call it only if `isImage` returns true for the media
   * type of the bytes.
   *
   * @param image.path the uploaded file. It is only read.
   * @param image.mediaType result of `inspect`
   * @param image.folder existing folder for the written files. The caller removes it, also after an error.
   * @throws Error if a file cannot be read or written, or after `close`; the caller must retry later
   */
  processImage(image: { path: string; mediaType: string; folder: string }): Promise<ProcessedImage>;
  /** Number of tasks that run or wait. */
  readonly pending: number;
  /** Ends all workers. Running and waiting tasks fail. */
  close(): Promise<void>;
}
