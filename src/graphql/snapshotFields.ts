import { BREAK, type DocumentNode, type GraphQLSchema, isObjectType, Kind, OperationTypeNode, visit } from 'graphql';

/**
 * `extensions` of a field whose resolver calls `snapshotOf` (core/context.ts). An operation that selects such a field
 * takes a database snapshot before every other read.
 */
export const readsSnapshot = { readsSnapshot: true };

/**
 * Returns a function that decides whether the operations of a document need a snapshot. Without a document, they do.
 * Results are cached by document.
 *
 * Compares only the names of fields, and ignores the parent type and directives. The snapshot is therefore also taken
 * for some operations that do not use it, such as one that selects a cursor of another list. A subscription needs no
 * snapshot, because the cursors of its events have exact positions.
 */
export function createSnapshotDecision(schema: GraphQLSchema): (document?: DocumentNode) => boolean {
  const names = namesOfSnapshotFields(schema);
  const decisions = new WeakMap<DocumentNode, boolean>();
  return (document) => {
    if (!document) return true;
    let decision = decisions.get(document);
    if (decision === undefined) decisions.set(document, (decision = selectsAny(document, names)));
    return decision;
  };
}

function namesOfSnapshotFields(schema: GraphQLSchema): ReadonlySet<string> {
  const fields = Object.values(schema.getTypeMap())
    .filter(isObjectType)
    .flatMap((type) => Object.values(type.getFields()));
  return new Set(fields.filter((field) => field.extensions['readsSnapshot'] === true).map(({ name }) => name));
}

function selectsAny(document: DocumentNode, names: ReadonlySet<string>): boolean {
  const isRead = document.definitions.some(
    (definition) =>
      definition.kind === Kind.OPERATION_DEFINITION && definition.operation !== OperationTypeNode.SUBSCRIPTION,
  );
  let found = false;
  if (isRead)
    visit(document, {
      Field({ name }) {
        found = names.has(name.value);
        return found ? BREAK : undefined;
      },
    });
  return found;
}
