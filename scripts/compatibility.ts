import { readdir } from 'node:fs/promises';
import { CriticalityLevel, diff } from '@graphql-inspector/core';
import type { GraphQLSchema } from 'graphql';

export interface Break {
  /** Path in the schema, such as `Mutation.sendMessage.input`. */
  path: string;
  message: string;
}

/** Returns the changes from `released` to `current` that break clients. */
export async function findBreaks(released: GraphQLSchema, current: GraphQLSchema): Promise<Break[]> {
  const changes = await diff(released, current);
  return changes
    .filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking)
    .map(({ path, message }) => ({ path: path ?? message, message: message.endsWith('.') ? message : `${message}.` }));
}

/** Returns the newest release whose schema is stored, such as `0.2.0`. */
export async function lastRelease(folder = new URL('../releases/', import.meta.url)): Promise<string> {
  const versions = (await readdir(folder)).flatMap((name) => /^(\d+\.\d+\.\d+)\.graphql$/.exec(name)?.[1] ?? []);
  const [newest] = versions.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  if (newest === undefined) throw new Error('There is no released schema in releases/.');
  return newest;
}

/** Returns the "Unreleased" section of CHANGELOG.md, or an empty text. */
export function unreleasedNotes(changelog: string): string {
  const [, notes = ''] = /^## Unreleased$([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(changelog) ?? [];
  return notes;
}
