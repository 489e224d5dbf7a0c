import { lexicographicSortSchema, printSchema } from 'graphql';
import { envExample } from '../src/config.ts';
import { buildSchema } from '../src/schema.ts';

/** The files that are written from the code, each with the text that it should have. */
export function generatedFiles() {
  return [
    { name: 'schema.graphql', text: `${printSchema(lexicographicSortSchema(buildSchema()))}\n` },
    { name: '.env.example', text: envExample() },
  ].map((file) => ({ ...file, url: new URL(`../${file.name}`, import.meta.url) }));
}
