import { resolveNodes } from '@pothos/plugin-relay';
import { requireViewer } from '../../core/context.ts';
import { badInput } from '../../core/errors.ts';
import { decodeId } from '../../core/globalIds.ts';
import { builder } from '../../graphql/builder.ts';

/** Maximum number of ids in one `nodes` query. More ids are `BAD_USER_INPUT`. */
const MAX_NODES = 100;

builder.queryFields((t) => ({
  node: t.field({
    type: builder.nodeInterfaceRef(),
    nullable: true,
    description: 'Returns an object by its id. Null if the object does not exist or the viewer may not see it.',
    args: { id: t.arg.id({ required: true, description: 'Id of an object of any type.' }) },
    resolve: async (_, { id }, context, info) => {
      requireViewer(context);
      const [node] = await resolveNodes(builder, context, info, [toPothos(id)]);
      return node ?? null;
    },
  }),
  nodes: t.field({
    type: [builder.nodeInterfaceRef()],
    nullable: { list: false, items: true },
    description:
      'Returns objects by their ids, in the order of `ids`. An item is null if the object does not exist or the viewer may not see it. Fails with `BAD_USER_INPUT` for more than 100 ids.',
    args: { ids: t.arg.idList({ required: true, description: 'At most 100 ids of objects of any type.' }) },
    resolve: (_, { ids }, context, info) => {
      requireViewer(context);
      if (ids.length > MAX_NODES) throw badInput('ids', `There are too many ids. Send at most ${MAX_NODES} at once.`);
      return resolveNodes(builder, context, info, ids.map(toPothos)) as Promise<object[]>;
    },
  }),
}));

function toPothos(id: string): { typename: string; id: string } | null {
  const decoded = decodeId(id);
  return decoded && { typename: decoded.type, id: decoded.key };
}
