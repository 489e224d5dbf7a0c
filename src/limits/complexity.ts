import { complexityFromQuery, type FieldComplexityFunction } from '@pothos/plugin-complexity';
import { type DocumentNode, type ExecutionArgs, getOperationAST, type GraphQLField, Kind } from 'graphql';
import { PAGE_SIZE } from '../connections.ts';
import type { Context } from '../context.ts';
import { checkVariables } from './variables.ts';

/** Assumed length of a list that has no size argument. Most messages have no reactions, and few have more than three kinds. */
const UNSIZED_LIST_LENGTH = 3;

/**
 * A field costs 1, plus the cost of its selection times the number of items it may return. A connection has as many as its
 * page; `edges` and `nodes` are those of the connection around them.
 */
export const fieldComplexity: FieldComplexityFunction<Context, Record<string, unknown>> = (args, _context, field) => ({
  field: 1,
  multiplier: lengthOf(args, field),
});

function lengthOf(args: Record<string, unknown>, field: GraphQLField<unknown, Context>): number {
  const { name, type } = field;
  const unsized = String(type).startsWith('[') && name !== 'edges' && name !== 'nodes' ? UNSIZED_LIST_LENGTH : 1;
  return pageSizeOf(args, field) ?? unsized;
}

/** Maximum number of items that a list returns for these arguments. Null for a field that takes no size. */
export function pageSizeOf(
  args: Record<string, unknown>,
  { args: taken }: Pick<GraphQLField<unknown, unknown>, 'args'>,
): number | null {
  // The field itself refuses more than a page, with the argument's name.
  if (taken.some((arg) => arg.name === 'first'))
    return Math.min(Number(args['first'] ?? args['last'] ?? PAGE_SIZE.default), PAGE_SIZE.most);
  return Array.isArray(args['ids']) ? Math.min(args['ids'].length, PAGE_SIZE.most) : null;
}

/** Maximum number of results that are cached per document. */
const MAX_RESULTS = 100;

/**
 * Returns a function that computes the complexity of an operation once per document and sizes of its variables. The variables
 * are checked each time.
 *
 * @throws GraphQLError the first error of the variables, and what the library throws
 */
export function memoizeComplexity(): (args: ExecutionArgs) => number {
  const documents = new WeakMap<DocumentNode, Map<string, number>>();
  return (args) => {
    checkVariables(args);
    const { document, operationName, variableValues } = args;
    let results = documents.get(document);
    if (!results) documents.set(document, (results = new Map<string, number>()));
    const variables = getOperationAST(document, operationName)?.variableDefinitions ?? [];
    const asked = [operationName, ...variables.map(({ variable }) => sizeOf(variableValues?.[variable.name.value]))];
    const key = asked.join(' ');
    const result = results.get(key) ?? computeComplexity(args);
    // Null is not cached: another operation with variables of these sizes may be valid.
    if (result !== null) results.set(key, result);
    if (results.size > MAX_RESULTS) results.clear();
    return result ?? 0;
  };
}

/** The part of a variable that a page size can depend on. A short text, because a client may send a long value. */
function sizeOf(value: unknown): string {
  if (Array.isArray(value)) return `of ${value.length}`;
  return value === null || typeof value === 'number' ? String(value) : typeof value;
}

/** Returns null if the document has no such operation, which the execution reports. */
function computeComplexity({ schema, document, operationName, variableValues }: ExecutionArgs): number | null {
  const operation = getOperationAST(document, operationName);
  if (!operation) return null;
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const asked: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] };
  return complexityFromQuery(asked, { schema, variables: variableValues ?? {} }).complexity;
}
