import { type GraphQLField, getNamedType, isLeafType, isNonNullType } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scopesOf } from '../../scripts/scopes.ts';
import { scopeNames } from '../../src/core/scopes.ts';
import { fieldsOf, operation } from '../support/operations.ts';
import { type Backend, backend, CREATE_ROOM, SEND_AS, UPSERT } from '../support/services.ts';
import { ask, listen } from './asking.ts';
import { openPremises, type Premises } from './premises.ts';

// The scopes of services: each root field and each field of the objects that services reach, for each scope alone.

let premises: Premises;
const services = new Map<string, Backend>();
beforeAll(async () => {
  premises = await openPremises();
  for (const scope of scopeNames) services.set(scope, await backend(premises.server, [scope]));
  const everything = await backend(premises.server);
  await everything.call(UPSERT, { users: [{ externalId: 'u1' }, { externalId: 'u2' }] });
  await everything.call(CREATE_ROOM, {
    ...{ kind: 'GROUP', externalId: 'r1', ownerExternalId: 'u1', memberExternalIds: ['u2'] },
  });
  await everything.call(SEND_AS, { chatroomExternalId: 'r1', asUserExternalId: 'u1', body: 'hello' });
});
afterAll(() => premises.close());

/** Queries that refuse nobody. `admin` and `viewer` are null for services. */
const PUBLIC = ['admin', 'server', 'viewer'];
const isPublic = (field: GraphQLField<unknown, unknown>) =>
  PUBLIC.includes(field.name) || (field.extensions['requiresViewer'] === false && scopesOf(field).length === 0);

describe.each(scopeNames)('a service with the scope %s', (scope) => {
  const token = () => services.get(scope)?.token ?? '';

  test.each(['query', 'mutation'] as const)('may use the declared fields of %s only', async (root) => {
    const type = root === 'query' ? 'Query' : 'Mutation';
    const outcomes = await Promise.all(
      fieldsOf(type).map(async (field) => {
        const code = await ask(premises.server, 'HTTP', { ...operation(root, field), token: token() });
        return [field.name, code === 'FORBIDDEN' ? 'forbidden' : 'allowed'];
      }),
    );
    const expected = fieldsOf(type).map((field) => [
      field.name,
      isPublic(field) || scopesOf(field).includes(scope) ? 'allowed' : 'forbidden',
    ]);
    expect(outcomes).toEqual(expected);
  });

  test('may open no subscription', async () => {
    for (const field of fieldsOf('Subscription'))
      expect([
        field.name,
        await listen(premises.server, 'WebSocket', { ...operation('subscription', field), token: token() }),
      ]).toEqual([field.name, 'FORBIDDEN']);
  });
});

/** Fields that depend on a viewer. Services never read them. */
const ofViewers: Record<string, string[]> = {
  Chatroom: ['attachments', 'cursor', 'incomingWebhooks', 'searchMessages', 'title', 'unreadCount', 'viewerMembership'],
  ChatroomMember: ['lastReadNumber'],
  Message: ['reactions', 'seenBy', 'seenByAll'],
  User: ['presence', 'viewerHasBlocked', 'viewerIsFriend'],
};

/** Paths to an object of each type, and the scope with which a service reaches the object. */
const paths = [
  ['User', 'users:write', (fields: string) => `userByExternalId(externalId: "u1") { ${fields} }`],
  ['Chatroom', 'rooms:write', (fields: string) => `chatroomByExternalId(externalId: "r1") { ${fields} }`],
  ['Chatroom', 'messages:read', (fields: string) => `chatroomByExternalId(externalId: "r1") { ${fields} }`],
  [
    'ChatroomMember',
    'rooms:write',
    (fields: string) => `chatroomByExternalId(externalId: "r1") { members { nodes { ${fields} } } }`,
  ],
  [
    'Message',
    'messages:read',
    (fields: string) => `chatroomByExternalId(externalId: "r1") { lastMessage { ${fields} } }`,
  ],
] as const;

test.each(paths)('a service reads of a %s with %s what depends on no viewer', async (type, scope, documentOf) => {
  for (const field of fieldsOf(type)) {
    const args = field.args.filter((arg) => isNonNullType(arg.type) && arg.defaultValue === undefined);
    const given = args.map((arg) => `${arg.name}: ${arg.name === 'number' ? 1 : '"x"'}`).join(', ');
    const selection = isLeafType(getNamedType(field.type)) ? '' : ' { __typename }';
    const query = `{ ${documentOf(`${field.name}${given && `(${given})`}${selection}`)} }`;
    const { errors } = (await services.get(scope)?.request(query)) ?? {};
    const needed = scopesOf(field);
    const isHidden = ofViewers[type]?.includes(field.name) || (needed.length > 0 && !needed.includes(scope));
    expect([field.name, errors?.[0]?.extensions.code ?? 'allowed']).toEqual([
      field.name,
      isHidden ? 'FORBIDDEN' : 'allowed',
    ]);
  }
});
