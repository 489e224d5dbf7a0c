import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildSchema } from 'graphql';
import { describe, expect, onTestFinished, test } from 'vitest';
import { findBreaks, lastRelease, unreleasedNotes } from '../scripts/compatibility.ts';

const released = buildSchema(`
  type Query { room(id: ID!): Room rooms(first: Int): [Room!]! }
  type Room { name: String topic: String kind: Kind! }
  enum Kind { OPEN CLOSED }
`);

describe('a change since the last release', () => {
  test.each([
    ['a removed field', 'type Room { name: String kind: Kind! }', 'Room.topic'],
    ['a field that becomes nullable', 'type Room { name: String topic: String kind: Kind }', 'Room.kind'],
    ['a field with another type', 'type Room { name: Int topic: String kind: Kind! }', 'Room.name'],
  ])('%s counts as a breaking change', async (_, room, path) => {
    const current = buildSchema(`
      type Query { room(id: ID!): Room rooms(first: Int): [Room!]! } ${room} enum Kind { OPEN CLOSED }`);
    expect((await findBreaks(released, current)).map((found) => found.path)).toEqual([path]);
  });

  test('an argument that becomes required counts as a breaking change', async () => {
    const current = buildSchema(`
      type Query { room(id: ID!, as: ID!): Room rooms(first: Int): [Room!]! }
      type Room { name: String topic: String kind: Kind! } enum Kind { OPEN CLOSED }`);
    expect((await findBreaks(released, current)).map((found) => found.path)).toEqual(['Query.room.as']);
  });

  test('additions are not breaking changes', async () => {
    const current = buildSchema(`
      type Query { room(id: ID!, as: ID): Room rooms(first: Int, last: Int): [Room!]! more: String }
      type Room { name: String topic: String kind: Kind! color: String } enum Kind { OPEN CLOSED HIDDEN }`);
    expect(await findBreaks(released, current)).toEqual([]);
  });
});

test('the last release is found by number, not by letter', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-releases-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const name of ['0.9.0.graphql', '0.10.0.graphql', 'notes.md']) await writeFile(join(folder, name), '');
  expect(await lastRelease(pathToFileURL(`${folder}/`))).toBe('0.10.0');
});

test('only the "Unreleased" section documents changes of the next release', () => {
  const changelog = '# Changelog\n\n## Unreleased\n\n- `Room.topic` is gone.\n\n## 0.1.0\n\n- `Room.kind`\n';
  expect(unreleasedNotes(changelog)).toContain('`Room.topic`');
  expect(unreleasedNotes(changelog)).not.toContain('`Room.kind`');
  expect(unreleasedNotes('## Unreleased\n\n- `A.b`\n')).toContain('`A.b`');
  expect(unreleasedNotes('# Changelog\n')).toBe('');
});
