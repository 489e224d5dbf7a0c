import { readFile } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import { configureDecoder, Decoder, DecodingTimeout } from './decoder.ts';
import { hasTooManyFrames, isDecoded, readHeader } from './header.ts';
import type { ImageResult, ImageTask, ProcessedImage, ShrunkImage } from './images.ts';
import { inspectFile } from './inspect.ts';
import { writeOriginal } from './original.ts';
import { UnreadableImage } from './unreadableImage.ts';
import { createVariants, shrinkFirstFrame } from './variants.ts';
import type { TaskResponse } from './workerPool.ts';

// The main module of a worker thread. It runs one task at a time.
configureDecoder();
parentPort?.on('message', (task: ImageTask) => {
  void respond(task).then((response) => {
    parentPort?.postMessage(response);
  });
});

async function respond(task: ImageTask): Promise<TaskResponse<ImageResult>> {
  try {
    return { result: await perform(task) };
  } catch (error) {
    return error instanceof UnreadableImage ? { result: { outcome: 'UNREADABLE' } } : { error: String(error) };
  }
}

function perform(task: ImageTask): Promise<ImageResult> {
  switch (task.name) {
    case 'inspect':
      return inspectFile(task.path, task.claimedType);
    case 'measure':
      return measure(task.path);
    case 'process':
      return processImage(task);
    case 'shrink':
      return shrinkImage(task);
  }
}

/** Loads the library only in the worker that needs it. */
async function measure(path: string): Promise<number | null> {
  const { measureDuration } = await import('./duration.ts');
  return measureDuration(path);
}

/**
 * Maximum number of pixels of an image that is shrunk. Lower than that of uploads, because everybody can name such an image in a
 * link: an AVIF of 1.4 KB with 49 megapixels takes 900 MB while it is decoded.
 */
const MAX_SHRUNK_PIXELS = 16_000_000;

type ShrinkTask = Extract<ImageTask, { name: 'shrink' }>;

async function shrinkImage({ path, folder, decodingMs, ...box }: ShrinkTask): Promise<ShrunkImage> {
  const { mediaType } = await inspectFile(path, '');
  const decoder = new Decoder(path, performance.now() + decodingMs);
  if (!isDecoded(mediaType) || hasTooManyFrames(await readFile(path), mediaType)) return { outcome: 'UNREADABLE' };
  const header = await readHeader(decoder, mediaType);
  if (!header.isWithinLimits || header.width * header.height > MAX_SHRUNK_PIXELS) return { outcome: 'UNREADABLE' };
  return { outcome: 'READY', ...(await shrinkFirstFrame(decoder, box, folder)) };
}

type ProcessTask = Extract<ImageTask, { name: 'process' }>;

async function processImage(task: ProcessTask): Promise<ProcessedImage> {
  const { path, mediaType, folder, keepsMetadata } = task;
  const bytes = await readFile(path);
  const decoder = new Decoder(path, performance.now() + task.decodingMs);
  const isReadable = isDecoded(mediaType) && !hasTooManyFrames(bytes, mediaType);
  const header = isReadable ? await readHeader(decoder, mediaType) : null;

  async function process(mayDecode: boolean): Promise<ProcessedImage> {
    return {
      outcome: 'READY',
      variants: header && mayDecode ? await createVariants(decoder, header, folder) : null,
      original: keepsMetadata ? null : await writeOriginal({ decoder, bytes, mediaType, header, mayDecode, folder }),
    };
  }
  return process(task.mayDecode && header?.isWithinLimits === true).catch((error: unknown) => {
    if (error instanceof DecodingTimeout) return process(false);
    throw error;
  });
}
