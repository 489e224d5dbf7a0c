import { createReadStream, createWriteStream } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { objectKey } from '../../features/attachments/attachments.ts';
import type { FileStore } from '../../platform/files/fileStore.ts';
import type { ExportedAttachment } from './exportFormat.ts';

/** Returns the folder with the bytes of an export, next to its file. */
export function folderOf(file: string): string {
  return `${file}.files`;
}

/** Returns the names of the objects of an attachment. */
function objectsOf({ object, image }: ExportedAttachment): string[] {
  return [object, ...(image ? [image.preview.object, image.thumbnail.object] : [])];
}

/** Copies the bytes of attachments from the file store to a folder. Skips files that have been deleted since. */
export async function exportFiles(
  files: FileStore,
  folder: string,
  attachments: readonly ExportedAttachment[],
): Promise<void> {
  for (const attachment of attachments) {
    for (const object of objectsOf(attachment)) {
      const bytes = await files.read(objectKey(attachment.id, object));
      if (!bytes) continue;
      await mkdir(join(folder, attachment.id), { recursive: true, mode: 0o700 });
      await pipeline(bytes, createWriteStream(join(folder, attachment.id, object), { mode: 0o600 }));
    }
  }
}

/**
 * Copies the bytes of attachments from the folder of an export to the file store.
 *
 * @returns the attachments whose bytes are complete
 */
export async function importFiles(
  files: FileStore,
  folder: string,
  attachments: readonly ExportedAttachment[],
): Promise<ExportedAttachment[]> {
  const complete: ExportedAttachment[] = [];
  for (const attachment of attachments) {
    const objects = objectsOf(attachment).map((object) => [object, join(folder, attachment.id, object)] as const);
    const found = await Promise.all(
      objects.map(([, path]) =>
        access(path).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (found.includes(false)) continue;
    for (const [object, path] of objects) await files.write(objectKey(attachment.id, object), createReadStream(path));
    complete.push(attachment);
  }
  return complete;
}
