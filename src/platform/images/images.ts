import { setTimeout } from 'node:timers/promises';
import type { Gauges } from '../observability/gauges.ts';
import { createWorkerPool, exceededLimits, type WorkerPool } from './workerPool.ts';

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
  | { outcome: 'READY'; original: ImageFile | null; variants: ImageVariants | null }
  | { outcome: 'UNREADABLE' };

/** Result of `shrinkImage`: a WebP without metadata, with its ThumbHash in base64. `UNREADABLE` also means: of no such type. */
export type ShrunkImage = { outcome: 'READY'; file: ImageVariantFile; thumbHash: string } | { outcome: 'UNREADABLE' };

/** Media types that `processImage` accepts. HEIC has no variants, because the decoder is patented. */
const IMAGE_TYPES = new Set([
  ...['image/jpeg', 'image/png', 'image/apng', 'image/gif', 'image/webp', 'image/avif'],
  ...['image/heic', 'image/heif', 'image/heic-sequence', 'image/heif-sequence'],
]);

/** Returns true if `processImage` must process files of this media type before they are served. */
export function isImage(mediaType: string): boolean {
  return IMAGE_TYPES.has(mediaType);
}

/** Inspects and measures files, and processes images, in worker threads, never on the event loop. */
export interface ImageProcessor {
  /**
   * Returns the media type of a file by its bytes. `inspectFile` has the rules.
   *
   * @param claimedType media type that the client has named, with or without parameters. An empty text or
   *   `application/octet-stream` claims nothing.
   * @throws Error if the file cannot be read, after 8 s, or after `close`; the caller must retry later
   */
  inspect(path: string, claimedType: string): Promise<Inspection>;
  /**
   * Returns the duration of a sound or film in milliseconds. Null if the file has none, if measuring takes longer than 5 s,
   * and after `close`.
   */
  measure(path: string): Promise<number | null>;
  /**
   * Removes the metadata of an image, and creates its variants. At most two images are processed at a time; further ones
   * wait. Call it only if `isImage` returns true for the media
   * type of the bytes.
   *
   * @param image.path the uploaded file. It is only read, into memory as a whole.
   * @param image.mediaType result of `inspect`
   * @param image.folder existing folder for the written files. The caller removes it, also after an error.
   * @param image.mayDecode false for an image without variants, which needs little memory. True by default.
   * @throws Error if a file cannot be read or written, or after `close`; the caller must retry later
   */
  processImage(image: {
    path: string;
    mediaType: string;
    folder: string;
    mayDecode?: boolean;
  }): Promise<ProcessedImage>;
  /**
   * Encodes the first frame of an image again, so that it fits into `width` × `height` pixels. Accepts JPEG, PNG, GIF, WebP
   * and AVIF of at most 16 megapixels, as decided by the bytes. Waits for a worker like `processImage`.
   *
   * @param image.folder existing folder for the written file. The caller removes it, also after an error.
   * @throws Error if a file cannot be read or written, if decoding takes longer than 3 s, or after `close`
   */
  shrinkImage(image: { path: string; folder: string; width: number; height: number }): Promise<ShrunkImage>;
  /** Ends all workers. Running and waiting tasks fail. */
  close(): Promise<void>;
}

/** A message to a worker. */
export type ImageTask =
  | { name: 'inspect'; path: string; claimedType: string }
  | { name: 'measure'; path: string }
  | {
      name: 'process';
      path: string;
      mediaType: string;
      folder: string;
      keepsMetadata: boolean;
      /** False if decoding took too long. */
      mayDecode: boolean;
      decodingMs: number;
    }
  | { name: 'shrink'; path: string; folder: string; width: number; height: number; decodingMs: number };

/** Results of the tasks, by the name of the task. */
interface ImageResults {
  inspect: Inspection;
  measure: number | null;
  process: ProcessedImage;
  shrink: ShrunkImage;
}
/** Result of a task. */
export type ImageResult = ImageResults[ImageTask['name']];

/**
 * Maximum number of images that are processed at a time. An AVIF of 50 megapixels takes 900 MB while it is decoded, a
 * large animation 840 MB, and other images up to 500 MB. Two of the four threads of libuv stay free for files and
 * passwords.
 */
const WORKERS = 2;
/** Time after which libvips stops decoding, in milliseconds. Such an image has no variants. */
const DECODING_MS = 30_000;
/** Time after which `shrinkImage` stops decoding, in milliseconds. A request waits for the result. */
const SHRINKING_MS = 3_000;
/** Time after which a worker that processes an image is terminated, in milliseconds. */
const PROCESSING_MS = 60_000;
/** Time after which a worker that inspects a file is terminated, in milliseconds. A request waits for the result. */
const INSPECTION_MS = 8_000;
/** Time after which a duration counts as unknown, in milliseconds. A request waits for the result. */
const MEASURING_MS = 5_000;

/**
 * Creates the image processor of a node. Workers start with the first file.
 *
 * @param options.keepsMetadata whether originals are served as they were uploaded. Variants never have metadata.
 * @param options.decodingMs time limit of decoding.
 */
export function createImageProcessor(options: {
  keepsMetadata: boolean;
  gauges: Gauges;
  decodingMs?: number;
}): ImageProcessor {
  const { keepsMetadata, gauges, decodingMs = DECODING_MS } = options;
  // `tsc` does not rewrite this name.
  const script = new URL(import.meta.url.endsWith('.ts') ? 'worker.ts' : 'worker.js', import.meta.url);
  // An inspection takes milliseconds, and must not wait for images.
  const inspections = createWorkerPool<ImageTask, ImageResult>({ script, size: 1, timeLimitMs: INSPECTION_MS });
  // A film that is slow to measure does not delay inspections.
  const durations = createWorkerPool<ImageTask, ImageResult>({ script, size: 1, timeLimitMs: MEASURING_MS });
  const images = createWorkerPool<ImageTask, ImageResult>({ script, size: WORKERS, timeLimitMs: PROCESSING_MS });

  async function run<Name extends ImageTask['name']>(
    pool: WorkerPool<ImageTask, ImageResult>,
    task: ImageTask & { name: Name },
  ): Promise<ImageResults[Name]> {
    gauges.imageTasks += 1;
    try {
      return (await pool.run(task)) as ImageResults[Name];
    } finally {
      gauges.imageTasks -= 1;
    }
  }

  return {
    inspect: (path, claimedType) => run(inspections, { name: 'inspect', path, claimedType }),
    measure: (path) =>
      // Includes the wait for the worker: hostile films would otherwise delay the uploads of others.
      Promise.race([
        run(durations, { name: 'measure', path }).catch(() => null),
        setTimeout(MEASURING_MS, null, { ref: false }),
      ]),
    async processImage(image) {
      const task = { name: 'process', mayDecode: true, ...image, keepsMetadata, decodingMs } as const;
      return run(images, task)
        .catch((error: unknown) => {
          if (exceededLimits(error)) return run(images, { ...task, mayDecode: false });
          throw error;
        })
        .catch((error: unknown) => {
          // Another attempt would cost as much and end in the same way. The caller must not try it for days.
          if (exceededLimits(error)) return { outcome: 'UNREADABLE' } as const;
          throw error;
        });
    },
    shrinkImage: (image) => run(images, { name: 'shrink', ...image, decodingMs: SHRINKING_MS }),
    async close() {
      await Promise.all([inspections.close(), durations.close(), images.close()]);
    },
  };
}
