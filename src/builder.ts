import SchemaBuilder, { type InputFieldBuilder, type ObjectRef } from '@pothos/core';
import ComplexityPlugin from '@pothos/plugin-complexity';
import RelayPlugin from '@pothos/plugin-relay';
import { GraphQLError } from 'graphql';
import type { Connection } from './connections.ts';
import type { Context } from './context.ts';
import { encodeId } from './ids.ts';
import { fieldComplexity } from './limits/complexity.ts';

interface SchemaTypes {
  Context: Context;
  DefaultFieldNullability: false;
  Scalars: { DateTime: { Input: Date; Output: Date }; ID: { Input: string; Output: string } };
}
export type Types = PothosSchemaTypes.ExtendDefaultTypes<SchemaTypes>;

/** The code-first schema. Fields are non-null unless they say otherwise; those of the roots are nullable. */
export const builder = new SchemaBuilder<SchemaTypes>({
  plugins: [RelayPlugin, ComplexityPlugin],
  defaultFieldNullability: false,
  // It is reckoned before anything is executed, in limits/queries.ts, and not once more by each field.
  complexity: { disabled: true, fieldComplexity },
  relay: {
    cursorType: 'String',
    encodeGlobalID: (type, key) => encodeId(type, String(key)),
    idFieldOptions: { description: 'Opaque, and unique over all types.' },
    nodeTypeOptions: { description: 'Whatever can be found again by its id.' },
    // They are in system/schema.ts: these would fail for an id that names nothing.
    nodeQueryOptions: false,
    nodesQueryOptions: false,
    pageInfoTypeOptions: { description: 'Where a page lies in its list.' },
    hasNextPageFieldOptions: { description: 'Whether there are items after this page; exact when paging forwards.' },
    hasPreviousPageFieldOptions: {
      description: 'Whether there are items before this page; exact when paging backwards.',
    },
    startCursorFieldOptions: { description: 'The cursor of the first item: pass it as `before`.' },
    endCursorFieldOptions: { description: 'The cursor of the last item: pass it as `after`.' },
  },
});

builder.scalarType('DateTime', {
  description: 'A moment in UTC, to the millisecond, as ISO 8601 writes it: 2026-01-31T23:59:59.999Z.',
  specifiedByURL: 'https://scalars.graphql.org/andimarek/date-time.html',
  serialize: (date) => date.toISOString(),
  parseValue(value) {
    const date = new Date(String(value));
    if (Number.isNaN(date.getTime())) throw new GraphQLError('Write a DateTime as 2026-01-31T23:59:59.999Z.');
    return date;
  },
});

builder.queryType({ description: 'What can be asked. Signed out, only `viewer` (null) and `server` answer.' });
builder.mutationType({ description: 'What can be done.' });
builder.subscriptionType({ description: 'What can be listened to, over WebSocket (graphql-transport-ws) or SSE.' });

/**
 * Defines the connection and edge types of a list, after the Relay specification: `UserConnection` and
 * `UserEdge` for `User`. Resolvers answer what `connect` (connections.ts) makes.
 */
export function defineConnection<Item extends object>(item: ObjectRef<Types, Item>, name: string) {
  const Edge = builder.objectRef<{ cursor: string; node: Item }>(`${name}Edge`).implement({
    description: `One ${name} of a list.`,
    fields: (t) => ({
      cursor: t.exposeString('cursor', { description: 'Where it stands in the list: pass it as `after` or `before`.' }),
      node: t.field({ type: item, description: 'The item itself.', resolve: (edge) => edge.node as never }),
    }),
  });
  const List = builder.objectRef<Connection<Item>>(`${name}Connection`).implement({
    description: `A page of a list of ${name}.`,
    fields: (t) => ({
      edges: t.field({ type: [Edge], description: 'The items with their cursors.', resolve: (list) => list.edges }),
      nodes: t.field({
        type: [item],
        description: 'The items alone.',
        resolve: (list) => list.edges.map((edge) => edge.node) as never,
      }),
      pageInfo: t.field({
        type: builder.pageInfoRef(),
        description: 'Where the page lies in the list.',
        resolve: (list) => list.pageInfo,
      }),
    }),
  });
  return { Edge, List };
}

/** The arguments of every list. */
export function connectionArgs(t: Pick<InputFieldBuilder<Types, 'Arg'>, 'int' | 'string'>) {
  return {
    first: t.int({ description: 'How many from the start, 1 to 100; 20 by default.' }),
    after: t.string({ description: 'Only what follows this cursor.' }),
    last: t.int({ description: 'How many from the end, 1 to 100.' }),
    before: t.string({ description: 'Only what comes before this cursor.' }),
  };
}
