import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Returns the lines of the first stage of the Dockerfile. */
async function buildStage(): Promise<string[]> {
  const [, stage = ''] = (await readFile(join(root, 'Dockerfile'), 'utf8')).split(/^FROM /m);
  return stage.split('\n');
}

test('the image builds from the files that the Dockerfile copies', { timeout: 120_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-image-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const lines = await buildStage();
  const sources = lines.flatMap((line) => /^COPY (.*) \S+$/.exec(line)?.[1]?.split(' ') ?? []);
  const files = execFileSync('git', ['ls-files', '-z', ...sources], { cwd: root, encoding: 'utf8' }).split('\0');
  for (const file of files.filter(Boolean)) await cp(join(root, file), join(folder, file));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  const ignored = await readFile(join(root, '.dockerignore'), 'utf8');
  for (const source of sources) expect(ignored).toMatch(new RegExp(`^!${source.split('/')[0]}`, 'm'));

  const commands = lines.flatMap((line) => /^RUN (?!npm ci)(.*)$/.exec(line)?.[1] ?? []);
  const env = { ...process.env, NODE_ENV: 'production' };
  for (const command of commands) execFileSync('sh', ['-c', command], { cwd: folder, env, stdio: 'pipe' });
  for (const built of ['dist/main.js', 'dist/web/index.html'])
    expect((await stat(join(folder, built))).size).toBeGreaterThan(0);
});
