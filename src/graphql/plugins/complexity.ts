import { complexityFromQuery, type FieldComplexityFunction } from '@pothos/plugin-complexity';
import { type DocumentNode, type ExecutionArgs, getOperationAST, type GraphQLField, Kind } from 'graphql';
import { PAGE_SIZE } from '../../platform/database/keysetPage.ts';
import type { Context } from '../../core/context.ts';
import { checkVariables } from './variables.ts';

/**
 * Assumed number of items of a list without a size argument, such as `Message.reactions`. Few messages have more than
 * three different reactions.
 */
const UNSIZED_LIST_LENGTH = 3;

/**
 * Returns the cost of a field: 1, plus the cost of its selection times the number of items it may return. For a
 * connection, that number is the page size. `edges` and `nodes` multiply by 1, because their connection has already
 * multiplied by the page size.
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

/**
 * Returns the maximum number of items that a list returns with these arguments. Null for a field without a size
 * argument.
 */
export function pageSizeOf(
  args: Record<string, unknown>,
  { args: declared }: Pick<GraphQLField<unknown, unknown>, 'args'>,
): number | null {
  // Larger sizes are only capped here. The resolver of the field refuses them with an error that names the argument.
  if (declared.some((arg) => arg.name === 'first'))
    return Math.min(Number(args['first'] ?? args['last'] ?? PAGE_SIZE.default), PAGE_SIZE.max);
  return Array.isArray(args['ids']) ? Math.min(args['ids'].length, PAGE_SIZE.max) : null;
}

/**
 * Maximum number of results that are cached per document. If there are more, all cached results of the document are
 * discarded.
 */
const MAX_RESULTS = 100;

/**
 * Returns a function that computes the complexity of an operation. Results are cached by document, operation name, and
 * the parts of the variables that can affect a page size. The variables are checked on every call.
 *
 * The returned function throws a GraphQLError: the first error of the variables, or an error of the complexity library.
 */
export function memoizeComplexity(): (args: ExecutionArgs) => number {
  const documents = new WeakMap<DocumentNode, Map<string, number>>();
  return (args) => {
    checkVariables(args);
    const { document, operationName, variableValues } = args;
    let results = documents.get(document);
    if (!results) documents.set(document, (results = new Map<string, number>()));
    const variables = getOperationAST(document, operationName)?.variableDefinitions ?? [];
    const keyParts = [operationName, ...variables.map(({ variable }) => sizeOf(variableValues?.[variable.name.value]))];
    const key = keyParts.join(' ');
    const result = results.get(key) ?? computeComplexity(args);
    // Null means an unknown operation name and is not cached. Clients choose the name, and a name with spaces could
    // produce the cache key of an existing operation with variables.
    if (result !== null) results.set(key, result);
    if (results.size > MAX_RESULTS) results.clear();
    return result ?? 0;
  };
}

/** Returns the part of a variable that can affect a page size, as a short text for the cache key. */
function sizeOf(value: unknown): string {
  if (Array.isArray(value)) return `of ${value.length}`;
  return value === null || typeof value === 'number' ? String(value) : typeof value;
}

/**
 * Returns the complexity of an operation. Null if the document has no operation of this name; the execution reports
 * that error.
 */
function computeComplexity({ schema, document, operationName, variableValues }: ExecutionArgs): number | null {
  const operation = getOperationAST(document, operationName);
  if (!operation) return null;
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const onlyOperation: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] };
  return complexityFromQuery(onlyOperation, { schema, variables: variableValues ?? {} }).complexity;
}
