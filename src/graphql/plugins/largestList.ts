import {
  type ExecutionArgs,
  type FragmentDefinitionNode,
  getArgumentValues,
  getNamedType,
  getOperationAST,
  type GraphQLNamedType,
  isInterfaceType,
  isObjectType,
  Kind,
  type SelectionSetNode,
} from 'graphql';
import { pageSizeOf } from './complexity.ts';

/** Fields inside a connection. They are left out of paths, so that a path contains only fields of the application. */
const PARTS_OF_CONNECTIONS = new Set(['edges', 'nodes', 'node']);

/**
 * Returns the list that can return the most items in an operation. `items` is the size of the list, multiplied by the
 * sizes of the lists around it. Example: with 20 messages for each of 30 chatrooms, the list is
 * `viewer.chatrooms.messages` with 600 items. Returns null if the operation has no list with a size argument.
 */
export function findLargestList({
  schema,
  document,
  operationName,
  variableValues,
}: ExecutionArgs): { path: string; items: number } | null {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  /**
   * Largest multiplier with which each fragment was visited. Visits with a smaller multiplier are skipped. Otherwise
   * nested fragment spreads would take exponential time.
   */
  const visited = new Map<string, number>();
  let largest: { path: string; items: number } | null = null;

  function walk({ selections }: SelectionSetNode, type: GraphQLNamedType | undefined, path: string[], items: number) {
    for (const selection of selections) {
      if (selection.kind === Kind.INLINE_FRAGMENT) {
        const condition = selection.typeCondition?.name.value;
        walk(selection.selectionSet, condition === undefined ? type : schema.getType(condition), path, items);
      } else if (selection.kind === Kind.FRAGMENT_SPREAD) {
        const fragment = fragments.get(selection.name.value);
        if (!fragment || (visited.get(selection.name.value) ?? 0) >= items) continue;
        visited.set(selection.name.value, items);
        walk(fragment.selectionSet, schema.getType(fragment.typeCondition.name.value), path, items);
      } else {
        const field = isObjectType(type) || isInterfaceType(type) ? type.getFields()[selection.name.value] : undefined;
        if (!field || !selection.selectionSet) continue;
        const size = pageSizeOf(getArgumentValues(field, selection, variableValues), field);
        const fieldPath = PARTS_OF_CONNECTIONS.has(field.name) ? path : [...path, field.name];
        const count = items * (size ?? 1);
        if (size !== null && count > (largest?.items ?? 0)) largest = { path: fieldPath.join('.'), items: count };
        walk(selection.selectionSet, getNamedType(field.type), fieldPath, count);
      }
    }
  }

  const operation = getOperationAST(document, operationName);
  if (operation) walk(operation.selectionSet, schema.getRootType(operation.operation) ?? undefined, [], 1);
  return largest;
}
