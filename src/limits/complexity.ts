import type { FieldComplexityFunction } from '@pothos/plugin-complexity';
import type { GraphQLField } from 'graphql';
import { PAGE_SIZE } from '../connections.ts';
import type { Context } from '../context.ts';

/** How long a list is taken to be that no argument bounds, such as the reactions of a message. */
const USUAL_LENGTH = 10;

/**
 * What a field costs: one, and as often what is asked of it as it can have items. A connection has as many as its page;
 * `edges` and `nodes` are those of the connection around them.
 */
export const fieldComplexity: FieldComplexityFunction<Context, Record<string, unknown>> = (args, _context, field) => ({
  field: 1,
  multiplier: lengthOf(args, field),
});

function lengthOf(args: Record<string, unknown>, { name, type, args: taken }: GraphQLField<unknown, Context>): number {
  // More than a page is refused by the field itself, with the argument's name.
  if (taken.some((arg) => arg.name === 'first'))
    return Math.min(Number(args['first'] ?? args['last'] ?? PAGE_SIZE.default), PAGE_SIZE.most);
  if (Array.isArray(args['ids'])) return Math.min(args['ids'].length, PAGE_SIZE.most);
  return String(type).startsWith('[') && name !== 'edges' && name !== 'nodes' ? USUAL_LENGTH : 1;
}
