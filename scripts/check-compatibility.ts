/**
 * Says whether clients of the last release still get what they ask for. releases/ keeps the schema of each; what breaks one
 * must be named, by its path in backquotes, under "Unreleased" in CHANGELOG.md.
 */
import { readFile } from 'node:fs/promises';
import { buildSchema as parseSchema } from 'graphql';
import { buildSchema } from '../src/features/schema.ts';
import { findBreaks, lastRelease, unreleasedNotes } from './compatibility.ts';

const read = (path: string) => readFile(new URL(`../${path}`, import.meta.url), 'utf8');

const release = await lastRelease();
const breaks = await findBreaks(parseSchema(await read(`releases/${release}.graphql`)), buildSchema());
const notes = unreleasedNotes(await read('CHANGELOG.md'));
const unnamed = breaks.filter(({ path }) => !notes.includes(`\`${path}\``));

console.log(
  `Since ${release}: ${breaks.length} breaking changes, ${breaks.length - unnamed.length} of them in CHANGELOG.md.`,
);
for (const { path, message } of unnamed) {
  console.error(`  ${message} Take it back, or say under "Unreleased" in CHANGELOG.md what becomes of \`${path}\`.`);
  process.exitCode = 1;
}
