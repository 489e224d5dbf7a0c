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
  return fieldNodes.every(({ selectionSet }) => selectsOnlyId(selectionSet, fragments)) ? ({ id } as Item) : load();
}

function selectsOnlyId(
  selectionSet: SelectionSetNode | undefined,
  fragments: GraphQLResolveInfo['fragments'],
): boolean {
  return (selectionSet?.selections ?? []).every((selection) => {
    if (selection.kind === Kind.FIELD) return selection.name.value === 'id' || selection.name.value === '__typename';
    const fragment = selection.kind === Kind.FRAGMENT_SPREAD ? fragments[selection.name.value] : selection;
    return selectsOnlyId(fragment?.selectionSet, fragments);
  });
}
