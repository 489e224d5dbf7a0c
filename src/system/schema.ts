import { resolveNodes } from '@pothos/plugin-relay';
import { builder } from '../builder.ts';
import { requireViewer } from '../context.ts';
import { badInput, type ErrorCode as Code, errorCodes } from '../errors.ts';
import { decodeId } from '../ids.ts';
import { version } from './version.ts';

/** How many things can be asked for by id at once. */
const MOST_NODES = 100;

builder.queryFields((t) => ({
  node: t.field({
    type: builder.nodeInterfaceRef(),
    nullable: true,
    description: 'Anything by its id; null where there is none that the viewer may see.',
    args: { id: t.arg.id({ required: true, description: 'The id of anything.' }) },
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
      'Many things by their ids, at most 100, in the order asked for; null for each that the viewer may not see.',
    args: { ids: t.arg.idList({ required: true, description: 'The ids of anything.' }) },
    resolve: (_, { ids }, context, info) => {
      requireViewer(context);
      if (ids.length > MOST_NODES) throw badInput('ids', `Ask for at most ${MOST_NODES} at once.`);
      return resolveNodes(builder, context, info, ids.map(toPothos)) as Promise<object[]>;
    },
  }),
}));

function toPothos(id: string): { typename: string; id: string } | null {
  const decoded = decodeId(id);
  return decoded && { typename: decoded.type, id: decoded.key };
}

const ErrorCode = builder.enumType('ErrorCode', {
  description: 'Every failure is a GraphQL error whose extensions.code is one of these, on HTTP and WebSocket alike.',
  values: Object.fromEntries(
    Object.entries(errorCodes).map(([code, description]) => [code, { description }]),
  ) as Record<Code, { description: string }>,
});

const Server = builder.objectRef<object>('Server').implement({
  description: 'What this server is, for clients of any version.',
  fields: (t) => ({
    version: t.string({ description: 'The version of Parley, after semver.org.', resolve: () => version }),
    features: t.stringList({
      description: 'What this version can do, by names that never change their meaning.',
      resolve: () => ['resume'],
    }),
    now: t.field({ type: 'DateTime', description: 'The server’s clock.', resolve: () => new Date() }),
    errorCodes: t.field({
      type: [ErrorCode],
      description: 'Every code that this server may answer with.',
      resolve: () => Object.keys(errorCodes) as Code[],
    }),
  }),
});

builder.queryField('server', (t) =>
  t.field({ type: Server, nullable: true, description: 'What this server is.', resolve: () => ({}) }),
);
