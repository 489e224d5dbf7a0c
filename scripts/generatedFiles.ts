import { lexicographicSortSchema, printSchema } from 'graphql';
import { envExample } from '../src/core/config/config.ts';
import { buildSchema } from '../src/features/schema.ts';
import { clientFiles } from './clientFiles.ts';
import { errorReference, schemaReference } from './reference.ts';
import { scopeReference } from './scopes.ts';

/** Returns the files that are generated from the code, with their current text. */
export function generatedFiles() {
  const schema = lexicographicSortSchema(buildSchema());
  return [
    { name: 'schema.graphql', text: `${printSchema(schema)}\n` },
    { name: '.env.example', text: envExample() },
    { name: 'docs/schema.md', text: schemaReference(schema) },
    { name: 'docs/errors.md', text: errorReference() },
    { name: 'docs/scopes.md', text: scopeReference(schema) },
    ...clientFiles(schema),
  ].map((file) => ({ ...file, url: new URL(`../${file.name}`, import.meta.url) }));
}
