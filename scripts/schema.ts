/** Writes the generated files. With --check, reports whether they are current, and fails if not. */
import { readFile, writeFile } from 'node:fs/promises';
import { generatedFiles } from './generatedFiles.ts';

const check = process.argv.includes('--check');

for (const { name, url, text } of generatedFiles()) {
  const current = (await readFile(url, 'utf8').catch(() => '')) === text;
  if (current) {
    console.log(`${name} is current.`);
  } else if (check) {
    console.error(`${name} is out of date: run \`npm run schema\`.`);
    process.exitCode = 1;
  } else {
    await writeFile(url, text);
    console.log(`Wrote ${name}.`);
  }
}
