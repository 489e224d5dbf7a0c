import SchemaBuilder, { type InputFieldBuilder, type ObjectRef } from '@pothos/core';
import ComplexityPlugin from '@pothos/plugin-complexity';
import PrismaPlugin from '@pothos/plugin-prisma';
import RelayPlugin from '@pothos/plugin-relay';
import { GraphQLError } from 'graphql';
import type { Connection } from '../platform/database/keysetPage.ts';
import type { Context } from '../core/context.ts';
import { type default as PrismaTypes, getDatamodel } from '../platform/database/generated/pothos.ts';
import { encodeId } from '../core/globalIds.ts';
import { fieldComplexity } from './plugins/complexity.ts';
import './schemaPlugin.ts';

interface SchemaTypes {
  Context: Context;
  PrismaTypes: PrismaTypes;
  DefaultFieldNullability: false;
  Scalars: { DateTime: { Input: Date; Output: Date }; ID: { Input: string; Output: string } };
}
export type Types = PothosSchemaTypes.ExtendDefaultTypes<SchemaTypes>;

/**
 * Builder of the code-first schema. Fields are non-null by default. Fields of root types are declared nullable, so that
 * one failed root field does not turn the whole result into null.
 */
export const builder = new SchemaBuilder<SchemaTypes>({
  // `parley` comes first, so that it wraps the resolvers of the other plugins.
  plugins: ['parley', RelayPlugin, PrismaPlugin, ComplexityPlugin],
  prisma: {
    client: ({ database }) => database.nodes,
    dmmf: getDatamodel(),
    // Throws if a resolver ignores the `query` that the plugin has prepared. Otherwise the plugin would load each item
    // again with a separate statement.
    onUnusedQuery: 'error',
  },
  defaultFieldNullability: false,
  // Disabled in the plugin, because plugins/complexity.ts computes the complexity before the execution.
  complexity: { disabled: true, fieldComplexity },
  relay: {
    cursorType: 'String',
    encodeGlobalID: (type, key) => encodeId(type, String(key)),
    idFieldOptions: { description: 'Opaque id, unique across all types.' },
    nodeTypeOptions: { description: 'An object that `node` and `nodes` can return by its id.' },
    // `node` and `nodes` are defined in features/server/nodesSchema.ts, because the plugin's versions fail for an
    // unknown id.
    nodeQueryOptions: false,
    nodesQueryOptions: false,
    pageInfoTypeOptions: { description: 'Cursors of a page, and whether other pages come before or after it.' },
    hasNextPageFieldOptions: {
      description:
        'Whether there are items after this page. With `last`, the server does not check this: the value is true if `before` was given, and false otherwise.',
    },
    hasPreviousPageFieldOptions: {
      description:
        'Whether there are items before this page. Without `last`, the server does not check this: the value is true if `after` was given, and false otherwise.',
    },
    startCursorFieldOptions: {
      description: 'Cursor of the first item. Pass it as `before` for the previous page. Null if the page is empty.',
    },
    endCursorFieldOptions: {
      description: 'Cursor of the last item. Pass it as `after` for the next page. Null if the page is empty.',
    },
  },
});

builder.scalarType('DateTime', {
  description: 'Date and time in UTC with milliseconds, in ISO 8601 format: 2026-01-31T23:59:59.999Z.',
  specifiedByURL: 'https://scalars.graphql.org/andimarek/date-time.html',
  serialize: (date) => date.toISOString(),
  parseValue(value) {
    const date = new Date(String(value));
    if (Number.isNaN(date.getTime()))
      throw new GraphQLError('This is not a DateTime. Write it as 2026-01-31T23:59:59.999Z.');
    return date;
  },
});

builder.queryType({
  description: 'All queries. Signed-out clients may query only `server` and `viewer`. For them, `viewer` is null.',
});
builder.mutationType({ description: 'All mutations.' });
builder.subscriptionType({ description: 'All subscriptions, over WebSocket (graphql-transport-ws) or SSE.' });

/**
 * Defines the connection and edge types of a list according to the Relay specification: `UserConnection` and `UserEdge`
 * for `User`. Resolvers return the result of `connect` (keysetPage.ts).
 */
export function defineConnection<Item extends object>(item: ObjectRef<Types, Item>, name: string) {
  const Edge = builder.objectRef<{ cursor: string; node: Item }>(`${name}Edge`).implement({
    description: `One ${name} of a list, with its cursor.`,
    fields: (t) => ({
      cursor: t.exposeString('cursor', {
        description: 'Position of the item in the list. Pass it as `after` or `before`.',
      }),
      node: t.field({ type: item, description: 'The item.', resolve: (edge) => edge.node as never }),
    }),
  });
  const List = builder.objectRef<Connection<Item>>(`${name}Connection`).implement({
    description: `One page of a list of ${name} objects.`,
    fields: (t) => ({
      edges: t.field({ type: [Edge], description: 'The items with their cursors.', resolve: (list) => list.edges }),
      nodes: t.field({
        type: [item],
        description: 'The items without their cursors.',
        resolve: (list) => list.edges.map((edge) => edge.node) as never,
      }),
      pageInfo: t.field({
        type: builder.pageInfoRef(),
        description: 'Cursors of the page, and whether other pages come before or after it.',
        resolve: (list) => list.pageInfo,
      }),
    }),
  });
  return { Edge, List };
}

/** Returns the paging arguments of a list. */
export function connectionArgs(t: Pick<InputFieldBuilder<Types, 'Arg'>, 'int' | 'string'>) {
  return {
    first: t.int({
      description: 'Page size for paging forwards: 1 to 100 items, 20 by default.',
    }),
    after: t.string({ description: 'Returns only items after this cursor.' }),
    last: t.int({
      description:
        'Page size for paging backwards from the end of the list: 1 to 100 items. Not allowed together with `first`.',
    }),
    before: t.string({ description: 'Returns only items before this cursor.' }),
  };
}
