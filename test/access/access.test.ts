import type { GraphQLInterfaceType } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { schema } from '../support/operations.ts';
import { ask, documentOf, fieldsOf, listen, type Root, type Transport } from './asking.ts';
import { mutations } from './mutations.ts';
import { makePlace, type Place } from './place.ts';
import { openPremises, type Premises } from './premises.ts';
import { nodes, queries, subscriptions } from './reading.ts';
import { type Role, ROLES, type Row } from './table.ts';

// Access rights: each root field and each type of Node, for each role, over each transport. The tables state the
// specification, not the current behaviour.

const named = (rows: Row[]) => [...new Set(rows.map(({ field }) => field))].sort();
const nodeTypes = schema.getPossibleTypes(schema.getType('Node') as GraphQLInterfaceType).map(({ name }) => name);

test.each([
  ['query', queries, Object.keys(fieldsOf('Query'))],
  ['mutation', mutations, Object.keys(fieldsOf('Mutation'))],
  ['subscription', subscriptions, Object.keys(fieldsOf('Subscription'))],
  ['type of Node', nodes, nodeTypes],
])('every %s has a row, and every row exists', (_, rows, names) => {
  expect(named(rows)).toEqual([...names].sort());
});

let premises: Premises;
beforeAll(async () => {
  premises = await openPremises();
});
afterAll(() => premises.close());

/** Places for all requests that change nothing, one per role. */
const lasting = new Map<Role, Promise<Place>>();
function lastingPlace(role: Role): Promise<Place> {
  const place = lasting.get(role) ?? makePlace(premises, role);
  lasting.set(role, place);
  return place;
}

/** Returns the outcome of one cell. A mutation that is expected to succeed gets a separate place. */
async function outcomeOf(root: Root, row: Row, role: Role, transport: Transport): Promise<string> {
  const changes = root === 'mutation' && row.outcomes[role] === 'done';
  const place = await (changes ? makePlace(premises, role) : lastingPlace(role));
  const asked = await row.ask(place);
  const variables = root === 'mutation' && Object.keys(asked).length > 0 ? { input: asked } : { ...asked };
  const field = nodes.includes(row) ? 'node' : row.field;
  const token = { 'signed out': null, service: premises.serviceToken }[role as string];
  const question = {
    query: documentOf(root, field, Object.keys(variables)),
    variables,
    token: token === undefined ? place.me.accessToken : token,
  };
  if (root === 'subscription') return listen(premises.server, transport, question);
  return ask(premises.server, transport, question);
}

const titled = (rows: Row[]) =>
  rows.map((row) => [`${row.field}${row.which === '' ? '' : ` (${row.which})`}`, row] as const);

describe.each(['HTTP', 'WebSocket'] as const)('over %s', (transport) => {
  async function expectOutcomes(root: Root, row: Row): Promise<void> {
    const cells = await Promise.all(
      ROLES.map(async (role) => [role, await outcomeOf(root, row, role, transport)] as const),
    );
    expect(Object.fromEntries(cells)).toEqual(row.outcomes);
  }

  test.each(titled(queries))('query %s', (_, row) => expectOutcomes('query', row));
  test.each(titled(nodes))('node %s', (_, row) => expectOutcomes('query', row));
  test.each(titled(mutations))('mutation %s', (_, row) => expectOutcomes('mutation', row));

  test.each(titled(subscriptions))('subscription %s', async (_, row) => {
    // Runs one after the other, because an open stream is detected by the number of streams.
    const outcomes: Record<string, string> = {};
    for (const role of ROLES) outcomes[role] = await outcomeOf('subscription', row, role, transport);
    expect(outcomes).toEqual(row.outcomes);
  });
});
