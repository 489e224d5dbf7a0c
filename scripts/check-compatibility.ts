/**
 * Lists breaking changes since the schema of the last release in releases/. Fails unless "Unreleased" in CHANGELOG.md names
 * the path of each, in backquotes.
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
  console.error(`  ${message} Revert it, or explain under "Unreleased" in CHANGELOG.md what replaces \`${path}\`.`);
  process.exitCode = 1;
}
