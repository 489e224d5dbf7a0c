import DataLoader from 'dataloader';
import { groupBy } from '../../core/groupBy.ts';
import type { PrismaClient } from './generated/client.ts';

/** Maximum number of rows that one statement finds. Equals the maximum number of ids of the GraphQL field `nodes`. */
const MAX_BATCH_SIZE = 100;

type Values = Record<string, unknown>;

/**
 * A call of `findUnique`. `where` contains the unique key. `where.AND` contains the condition under which the viewer
 * may see the row.
 */
interface Call {
  model: string;
  args: { where: Values };
  /** Runs this call without a batch. */
  run: () => PromiseLike<Values | null>;
}

/**
 * Returns a Prisma Client that batches `findUnique` calls. Calls of one tick share a statement if they differ only in
 * their keys.
 *
 * Prisma Client itself does not batch calls with a relation or an OR in `where`. Visibility conditions contain both.
 * For 100 messages, batching reduced the CPU time of a query from 148 ms to 61 ms.
 */
export function batchFindUnique(prisma: PrismaClient): PrismaClient {
  const calls = new DataLoader<Call, Values | null>((batch) => findBatch(prisma, batch), {
    cache: false,
    maxBatchSize: MAX_BATCH_SIZE,
  });
  const batching = prisma.$extends({
    query: {
      $allModels: {
        findUnique({ model, args, query }) {
          if (!args.where.AND) return query(args);
          return calls.load({ model, args, run: () => query(args) });
        },
      },
    },
  });
  return batching as unknown as PrismaClient;
}

async function findBatch(prisma: PrismaClient, batch: readonly Call[]): Promise<(Values | null)[]> {
  const groups = groupBy(batch, ({ model, args: { where, ...selection } }) =>
    JSON.stringify([model, selection, where['AND']]),
  );
  const found = new Map<Call, Values | null>();
  await Promise.all(
    [...groups.values()].map(async (calls) => {
      const rows = await findGroup(prisma, calls);
      for (const [i, call] of calls.entries()) found.set(call, rows[i] ?? null);
    }),
  );
  return batch.map((call) => found.get(call) ?? null);
}

/**
 * Finds the rows of calls that differ only in their keys. Returns the rows in the order of the calls, with null for a
 * missing row.
 */
async function findGroup(prisma: PrismaClient, calls: readonly Call[]): Promise<(Values | null)[]> {
  const [first] = calls;
  if (!first) return [];
  if (calls.length === 1) return [await first.run()];
  const { where, ...selection } = first.args;
  const keys = calls.map(({ args }) => keyOf(args.where));
  const fields = Object.keys(keys[0] ?? {});

  const table = (prisma as unknown as Record<string, { findMany: (args: object) => Promise<Values[]> }>)[
    first.model.charAt(0).toLowerCase() + first.model.slice(1)
  ];
  const rows = (await table?.findMany({ ...selection, where: { OR: keys, AND: where['AND'] } })) ?? [];
  const byKey = new Map(rows.map((row) => [textOf(row, fields), row]));
  return keys.map((key) => byKey.get(textOf(key, fields)) ?? null);
}

/** Returns the fields of the unique key: `{ id }`, or the parts of a compound key such as `chatroomId_number`. */
function keyOf(where: Values): Values {
  const unique = Object.entries(where).filter(([name]) => name !== 'AND');
  const [value] = unique.map(([, part]) => part);
  return typeof value === 'object' && value !== null ? (value as Values) : Object.fromEntries(unique);
}

function textOf(row: Values, fields: readonly string[]): string {
  return JSON.stringify(fields.map((field) => row[field]));
}
