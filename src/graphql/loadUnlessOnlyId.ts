import { type GraphQLResolveInfo, Kind, type SelectionSetNode } from 'graphql';

/**
 * Resolves a field to an object whose id is known. If the operation selects only the id of the object, returns an
 * object without other properties instead of loading it.
 *
 * Use it only for an object that exists and that the viewer may see, because `load` is not called to check that.
 */
export function loadUnlessOnlyId<Item extends { id: string } | null>(
  { fieldNodes, fragments }: Pick<GraphQLResolveInfo, 'fieldNodes' | 'fragments'>,
  id: string,
  load: () => Promise<Item>,
): Item | Promise<Item> {
  const seen = new Set<string>();
  return fieldNodes.every(({ selectionSet }) => selectsOnlyId(selectionSet, fragments, seen))
    ? ({ id } as Item)
    : load();
}

/**
 * @param seen names of fragments that have been walked. Fragments that spread each other twice would otherwise take
 *   exponential time.
 */
function selectsOnlyId(
  selectionSet: SelectionSetNode | undefined,
  fragments: GraphQLResolveInfo['fragments'],
  seen: Set<string>,
): boolean {
  return (selectionSet?.selections ?? []).every((selection) => {
    if (selection.kind === Kind.FIELD) return selection.name.value === 'id' || selection.name.value === '__typename';
    if (selection.kind === Kind.INLINE_FRAGMENT) return selectsOnlyId(selection.selectionSet, fragments, seen);
    const name = selection.name.value;
    if (seen.has(name)) return true;
    seen.add(name);
    return selectsOnlyId(fragments[name]?.selectionSet, fragments, seen);
  });
}
