import { access, constants, mkdir, mkdtemp, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/**
 * Creates the folder DATA_DIR if it is missing. Returns its absolute path.
 *
 * @throws Error a sentence if nothing can be written there
 */
export async function openDataDir(dataDir: string): Promise<string> {
  const folder = resolve(dataDir);
  try {
    await mkdir(folder, { recursive: true });
    // Rights alone do not tell: root has them on a read-only mount, and a disk may be full.
    await rmdir(await mkdtemp(join(folder, '.write-')));
    return folder;
  } catch (error) {
    throw new Error(
      `Nothing can be written to DATA_DIR, which is ${folder} (${await findReason(folder, error)}). Name a folder that this user may write to, or set DATABASE_URL and AUTH_SECRET.`,
      { cause: error },
    );
  }
}

/** Asks the nearest folder that exists, because Node reports a read-only mount as ENOENT. */
async function findReason(folder: string, error: unknown): Promise<string> {
  const { code = String(error) } = error as { code?: string };
  if (code !== 'ENOENT') return code;
  try {
    await access(folder, constants.W_OK);
    return code;
  } catch (failure) {
    const reason = (failure as { code?: string }).code ?? code;
    return reason === 'ENOENT' && dirname(folder) !== folder ? findReason(dirname(folder), error) : reason;
  }
}
