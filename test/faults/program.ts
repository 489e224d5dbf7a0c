import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { belongings } from './processes.ts';

/** A replacement in the sources. */
export interface Replacement {
  /** Path relative to src/. */
  file: string;
  from: string;
  to: string;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SOURCES = join(ROOT, 'src');

/** Replaces a text that must occur exactly once. Otherwise the source has changed, and the replacement is outdated. */
export function replaceOnce(text: string, from: string, to: string, where: string): string {
  const found = text.split(from).length - 1;
  if (found !== 1) throw new Error(`${where} has this ${found} times, not once:\n${from}`);
  return text.replace(from, () => to);
}

/** Builds the program from the current sources, and removes it after use. */
export async function withProgram<Result>(
  replacements: readonly Replacement[],
  use: (program: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-program-'));
  belongings.folders.add(folder);
  try {
    return await use(await makeProgram(folder, replacements));
  } finally {
    await rm(folder, { recursive: true });
    belongings.folders.delete(folder);
  }
}

async function makeProgram(folder: string, replacements: readonly Replacement[]): Promise<string> {
  await cp(join(ROOT, 'package.json'), join(folder, 'package.json'));
  await cp(join(ROOT, 'prisma'), join(folder, 'prisma'), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const built = join(folder, 'dist');
  const program = join(built, 'main.js');
  const open = new Set(replacements);
  await build({
    ...{ entryPoints: [join(SOURCES, 'main.ts')], outfile: program, bundle: true, packages: 'external' },
    ...{ platform: 'node', target: 'node20', format: 'esm', sourcemap: 'inline', logLevel: 'error' },
    plugins: [
      {
        name: 'replacements',
        setup(building) {
          building.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            let contents = await readFile(path, 'utf8');
            for (const replacement of replacements) {
              const { file, from, to } = replacement;
              if (file !== relative(SOURCES, path)) continue;
              contents = replaceOnce(contents, from, to, `src/${file}`);
              open.delete(replacement);
            }
            // Modules find the files copied above relative to themselves, as if each were built on its own.
            const url = pathToFileURL(join(built, relative(SOURCES, path)));
            return { contents: contents.replaceAll('import.meta.url', JSON.stringify(url.href)), loader: 'ts' };
          });
        },
      },
    ],
  });
  for (const { file } of open) throw new Error(`There is no src/${file} in the program.`);
  return program;
}
