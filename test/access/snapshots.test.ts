import { getNamedType, parse } from 'graphql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSnapshotDecision } from '../../src/graphql/snapshotFields.ts';
import { codesOf, request } from '../support/client.ts';
import { schema } from '../support/operations.ts';
import { type FieldPath, pathsFrom, selectionOf } from '../support/selections.ts';
import { WIDE_LIMITS } from '../support/server.ts';
import { documentOf, fieldsOf, roots } from './asking.ts';
import { mutations } from './mutations.ts';
import { makePlace } from './place.ts';
import { openPremises, type Premises } from './premises.ts';
import { nodes, queries } from './reading.ts';
import { type Role, type Row } from './table.ts';

// An operation takes a snapshot if its document selects a field with `extensions: readsSnapshot`. Reading the snapshot in
// another operation fails. The operations below select every path of fields without such a field.

/** Maximum number of fields of a path below the root field. */
const DEPTH = 3;
const ARGS = { message: 'number: 1', searchMessages: 'query: "word"', chatroomWith: 'userId: "x"' };
const USERS: Role[] = ['owner', 'member', 'stranger'];

const needsSnapshot = createSnapshotDecision(schema);
const takesSnapshot = (path: FieldPath) => path.some(({ field }) => needsSnapshot(parse(`{ ${field} }`)));

let premises: Premises;
beforeAll(async () => {
  premises = await openPremises(WIDE_LIMITS);
});
afterAll(() => premises.close());

/** Runs a row's operation as a user for whom it succeeds. Returns the codes of its errors. */
async function errorsOf(root: 'query' | 'mutation', row: Row): Promise<string[]> {
  const place = await makePlace(premises, roleOf(row) ?? 'owner');
  const asked = await row.ask(place);
  const name = nodes.includes(row) ? 'node' : row.field;
  const type = name === 'node' ? row.field : String(getNamedType(fieldsOf(roots[root])[name]?.type));
  const selected = selectionOf(pathsFrom(type, DEPTH, ARGS).filter((path) => !takesSnapshot(path)));
  const selection = name === 'node' ? `{ ... on ${type} ${selected} }` : selected;
  const variables = root === 'mutation' && Object.keys(asked).length > 0 ? { input: asked } : { ...asked };
  const query = documentOf(root, name, Object.keys(variables), selection);
  expect(needsSnapshot(parse(query)), query).toBe(false);
  const headers = { authorization: `Bearer ${place.me.accessToken}` };
  return codesOf(await request(premises.server.url, query, variables, headers));
}

const roleOf = (row: Row) => USERS.find((role) => row.outcomes[role] === 'done');
const titled = (rows: Row[]) => rows.filter(roleOf).map((row) => [`${row.field} ${row.which}`.trim(), row] as const);

test.each([...titled(queries.filter(({ field }) => !field.startsWith('node'))), ...titled(nodes)])(
  'query %s reads no snapshot without a cursor',
  async (_, row) => {
    expect(await errorsOf('query', row)).toEqual([]);
  },
);

test.each(titled(mutations))('mutation %s reads no snapshot without a cursor', async (_, row) => {
  expect(await errorsOf('mutation', row)).toEqual([]);
});

test.each([
  ['a fragment', '{ viewer { ...Position } } fragment Position on Viewer { cursor }'],
  ['an inline fragment', 'query ($id: ID!) { node(id: $id) { ... on Chatroom { cursor } } }'],
  ['an alias', '{ viewer { position: cursor } }'],
  ['an edge', 'mutation ($input: SendMessageInput!) { sendMessage(input: $input) { edge { node { id } } } }'],
  ['another operation', 'query One { viewer { id } } query Two { viewer { cursor } }'],
])('a document with a cursor in %s takes a snapshot', (_, document) => {
  expect(needsSnapshot(parse(document))).toBe(true);
});

test('a subscription takes no snapshot', () => {
  expect(needsSnapshot(parse('subscription { messageAdded { cursor message { cursor } } }'))).toBe(false);
});
