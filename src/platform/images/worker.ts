import { readFile } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import { configureDecoder, Decoder, DecodingTimeout } from './decoder.ts';
import { isDecoded, readHeader } from './header.ts';
import type { ImageTask, Inspection, ProcessedImage } from './images.ts';
import { inspectFile } from './inspect.ts';
import { writeOriginal } from './original.ts';
import { UnreadableImage } from './unreadableImage.ts';
import { createVariants } from './variants.ts';
import type { TaskResponse } from './workerPool.ts';

// The main module of a worker thread. It runs one task at a time.
configureDecoder();
parentPort?.on('message', (task: ImageTask) => {
  void respond(task).then((response) => {
    parentPort?.postMessage(response);
  });
});

async function respond(task: ImageTask): Promise<TaskResponse<Inspection | ProcessedImage>> {
  try {
    return {
      result: task.name === 'inspect' ? await inspectFile(task.path, task.claimedType) : await processImage(task),
    };
  } catch (error) {
    return error instanceof UnreadableImage ? { result: { outcome: 'UNREADABLE' } } : { error: String(error) };
  }
}

type ProcessTask = Extract<ImageTask, { name: 'process' }>;

async function processImage(task: ProcessTask): Promise<ProcessedImage> {
  const { path, mediaType, folder, keepsMetadata } = task;
  const bytes = await readFile(path);
  const decoder = new Decoder(path, performance.now() + task.decodingMs);
  const header = isDecoded(mediaType) ? await readHeader(decoder, mediaType) : null;

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
