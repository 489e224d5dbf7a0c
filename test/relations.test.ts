import SchemaBuilder from '@pothos/core';
import PrismaPlugin from '@pothos/plugin-prisma';
import { getNamedType, type GraphQLField, type GraphQLObjectType, type GraphQLSchema, isObjectType } from 'graphql';
import { describe, expect, test } from 'vitest';
import { buildSchema } from '../src/features/schema.ts';
import type { PrismaClient } from '../src/platform/database/generated/client.ts';
import { type default as PrismaTypes, getDatamodel } from '../src/platform/database/generated/pothos.ts';
import { startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

/** Models whose rows every signed-in user may see. */
const PUBLIC = ['User'];

/** Models whose rows only some users may see. A relation that leads to one has no predicate of its own. */
const GUARDED = [
  'Attachment',
  'Chatroom',
  'FriendRequest',
  'IncomingWebhook',
  'LinkPreview',
  'Member',
  'Message',
  'PushDevice',
  'Session',
];

/** Fields with a query of the plugin on rows of guarded models that were read and found safe, such as `Chatroom.members`. */
const REVIEWED: string[] = [];

/** A row with the key of each guarded model. */
const ROW = { id: 'id', chatroomId: 'room', userId: 'other', number: 1, fromId: 'from', toId: 'to' };

const objectsOf = (schema: GraphQLSchema) => Object.values(schema.getTypeMap()).filter(isObjectType);
const modelOf = (type: unknown) => isObjectType(type) && (type.extensions['pothosPrismaModel'] as string | undefined);

/** Returns whether the plugin extends the query of the parent row for a field: for a relation, a count or a `select`. */
const isPlanned = ({ extensions }: GraphQLField<unknown, unknown>) => Boolean(extensions['pothosPrismaSelect']);

/** Returns whether a field is a relation to rows that everyone may see. */
const isPublic = ({ extensions, type }: GraphQLField<unknown, unknown>) =>
  'pothosPrismaRelationField' in extensions && PUBLIC.includes(modelOf(getNamedType(type)) || '');

function findUnreviewed(schema: GraphQLSchema): string[] {
  return objectsOf(schema)
    .flatMap((type) => Object.values(type.getFields()).map((field) => ({ name: `${type.name}.${field.name}`, field })))
    .filter(({ name, field }) => isPlanned(field) && !isPublic(field) && !REVIEWED.includes(name))
    .map(({ name }) => name)
    .sort();
}

/** Returns the condition by which the plugin finds the row of a node, for a viewer. */
function findUniqueOf(type: GraphQLObjectType, viewer: { userId: string } | null): unknown {
  const loaderOf = type.extensions['pothosPrismaLoader'] as (context: object) => {
    findUnique: (row: object, context: object) => unknown;
  };
  const context = { viewer };
  return loaderOf(context).findUnique(ROW, context);
}

describe('the Prisma plugin', () => {
  test('has no unreviewed relation to a guarded model', () => {
    expect(findUnreviewed(buildSchema())).toEqual([]);
  });

  test('has only models that are classified as public or guarded', () => {
    const models = objectsOf(buildSchema()).flatMap((type) => modelOf(type) || []);
    expect([...new Set(models)].sort()).toEqual([...PUBLIC, ...GUARDED].sort());
  });

  test('finds rows of guarded models only with a condition on the viewer', () => {
    for (const type of objectsOf(buildSchema()).filter((each) => GUARDED.includes(modelOf(each) || ''))) {
      const seen = findUniqueOf(type, { userId: 'ann' });
      expect(JSON.stringify(seen), type.name).toContain('ann');
      expect(findUniqueOf(type, { userId: 'ben' }), type.name).not.toEqual(seen);
      expect(() => findUniqueOf(type, null), type.name).toThrow(/Sign in/);
    }
  });

  test('finds a room with one statement that contains the rule', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    const find = (person: typeof ann) =>
      person.ask('query ($id: ID!) { node(id: $id) { ... on Chatroom { kind } } }', { id: room });
    await find(ann);
    server.statements();
    expect((await find(ann)).node).toEqual({ kind: 'GROUP' });
    const statements = server.statements();
    expect((await find(eve)).node).toBeNull();
    expect(statements).toEqual([
      expect.stringMatching(/^SELECT .* FROM "public"\."chatrooms" .*"kind" = .*"public"\."members"/s),
    ]);
  });

  test('is searched for relations, counts, selections and connections', () => {
    const builder = new SchemaBuilder<{ PrismaTypes: PrismaTypes }>({
      plugins: [PrismaPlugin],
      prisma: { client: {} as PrismaClient, dmmf: getDatamodel() },
    });
    builder.prismaObject('User', { fields: (t) => ({ username: t.exposeString('username') }) });
    builder.prismaObject('Member', {
      fields: (t) => ({ user: t.relation('user'), chatroom: t.relation('chatroom') }),
    });
    builder.prismaObject('Chatroom', {
      fields: (t) => ({
        members: t.relation('members'),
        count: t.relationCount('messages'),
        last: t.string({ select: { messages: { take: 1 } }, resolve: ({ messages }) => messages[0]?.body ?? null }),
      }),
    });
    builder.queryType({
      fields: (t) => ({ user: t.prismaField({ type: 'User', nullable: true, resolve: () => null }) }),
    });
    expect(findUnreviewed(builder.toSchema())).toEqual([
      'Chatroom.count',
      'Chatroom.last',
      'Chatroom.members',
      'Member.chatroom',
    ]);
  });
});
