/** Reports whether the generated files are current, and fails if not. With --write, writes them. */
import { readFile, writeFile } from 'node:fs/promises';
import { generatedFiles } from './generatedFiles.ts';

const write = process.argv.includes('--write');

for (const { name, url, text } of generatedFiles()) {
  const current = (await readFile(url, 'utf8').catch(() => '')) === text;
  if (current) {
    console.log(`${name} is current.`);
  } else if (write) {
    await writeFile(url, text);
    console.log(`Wrote ${name}.`);
  } else {
    console.error(`${name} is out of date: run \`npm run schema\`.`);
    process.exitCode = 1;
  }
}
