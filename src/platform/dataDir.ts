import { access, constants, mkdir, mkdtemp, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/**
 * Creates the folder DATA_DIR if it is missing, and returns its absolute path.
 *
 * @throws Error if the folder is not writable; the message says what to do
 */
export async function openDataDir(dataDir: string): Promise<string> {
  const folder = resolve(dataDir);
  try {
    await mkdir(folder, { recursive: true });
    // Checks with a real write. Permissions do not reveal a read-only mount or a full disk.
    await rmdir(await mkdtemp(join(folder, '.write-')));
    return folder;
  } catch (error) {
    throw new Error(
      `DATA_DIR, which is ${folder}, is not writable (${await findReason(folder, error)}). Choose a folder that this user may write to, or set DATABASE_URL and AUTH_SECRET.`,
      { cause: error },
    );
  }
}

/**
 * Returns an error code that says why the folder is not writable. Node.js reports a read-only mount as ENOENT. For
 * ENOENT, returns the code from a write check of the nearest existing folder instead.
 */
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
