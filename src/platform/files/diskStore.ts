import { createWriteStream } from 'node:fs';
import { copyFile, link, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createUuid } from '../../core/globalIds.ts';
import { checkByWriting, type FileStore, type StoredObject } from './fileStore.ts';

/** Ending of the name of a file that is still being written. `list` includes such files, so that the clean-up finds them. */
const PART = '.part';

/**
 * Creates a store in a folder. The folder is created by the first write. Several processes may use it at a time, because
 * an object appears with a rename.
 */
export function createDiskStore(folder: string): FileStore {
  const root = resolve(folder);
  const pathOf = (key: string) => join(root, key);

  /** Calls `write` with the path of a new file, which becomes the object. */
  async function replace(key: string, write: (path: string) => Promise<void>): Promise<void> {
    const path = pathOf(key);
    const part = `${path}.${createUuid()}${PART}`;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await write(part);
      await flush(part);
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  }

  const store: FileStore = {
    origin: null,
    prepareUpload: () => null,
    prepareDownload: () => null,
    write: (key, source) =>
      replace(key, (path) =>
        typeof source === 'string'
          ? copyFile(source, path)
          : pipeline(source, createWriteStream(path, { mode: 0o600, flags: 'wx' })),
      ),
    async copy(from, to) {
      try {
        // Another name of the same bytes. A later write to `from` makes a new file.
        await mkdir(dirname(pathOf(to)), { recursive: true, mode: 0o700 });
        await link(pathOf(from), pathOf(to));
        return true;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT') return false;
        // Some network file systems have no links.
        if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EMLINK') throw error;
        await replace(to, (path) => copyFile(pathOf(from), path));
        return true;
      }
    },
    async read(key, range) {
      try {
        const handle = await open(pathOf(key), 'r');
        return handle.createReadStream(range);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    withFile: (key, use) => use(pathOf(key)),
    async delete(key) {
      await rm(pathOf(key), { force: true });
      // Fails if the folder has other objects.
      if (!key.startsWith('uploads/')) await rmdir(dirname(pathOf(key))).catch(() => undefined);
    },
    list: (within) => listFolder(root, within),
    async check() {
      try {
        await checkByWriting(store, Readable.from(['check']));
      } catch (error) {
        throw new Error(
          `The folder ${root} of uploaded files cannot be used (${(error as Error).message}). Correct its permissions or DATA_DIR, or set FILES=s3 or FILES=off.`,
          { cause: error },
        );
      }
    },
  };
  return store;
}

/** Waits until the bytes of a file are on disk, because the database may commit the attachment next. */
async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function* listFolder(root: string, within?: string): AsyncGenerator<StoredObject> {
  const folders = within === undefined ? await readNames(root) : [within];
  for (const folder of folders) {
    for (const name of await readNames(join(root, folder))) {
      const found = await stat(join(root, folder, name)).catch(() => null);
      if (found?.isFile()) yield { key: `${folder}/${name}`, byteSize: found.size, modifiedAt: found.mtime };
    }
  }
}

async function readNames(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  });
}
