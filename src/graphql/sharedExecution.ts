import { createHash } from 'node:crypto';
import { type DocumentNode, type ExecutionArgs, Kind, visit } from 'graphql';

declare module '../core/context.ts' {
  interface ServerNode {
    sharedExecution: SharedExecution;
  }
}

/**
 * An operation to which one or more clients are subscribed. Their documents, operation names, and variables that can
 * affect a result are equal.
 */
export interface SharedOperation {
  /**
   * True once an execution has read a value that depends on the viewer. Later events are then executed for each
   * subscriber.
   */
  viewerDependent: boolean;
  /** Number of open subscriptions of this operation. */
  subscribers: number;
}

/** Groups open subscriptions of one operation, so that each event is executed once for all of them. */
export interface SharedExecution {
  /**
   * Registers a subscription.
   *
   * @returns the operation, and a function to call once when the subscription has ended; null if shared execution is off
   */
  register(args: ExecutionArgs): { operation: SharedOperation; release: () => void } | null;
  /** Number of operations that have subscribers. */
  size(): number;
}

/** Creates the registry of one node. If disabled, clients receive the same results at a higher cost. */
export function createSharedExecution({ isEnabled }: { isEnabled: boolean }): SharedExecution {
  const documents = new WeakMap<
    DocumentNode,
    { variables: readonly string[]; operations: Map<string, SharedOperation> }
  >();
  let size = 0;

  function documentOf(document: DocumentNode) {
    let known = documents.get(document);
    if (!known) documents.set(document, (known = { variables: variablesBelowRoot(document), operations: new Map() }));
    return known;
  }

  return {
    register(args) {
      if (!isEnabled) return null;
      const { variables, operations } = documentOf(args.document);
      const values = variables.map((name) => args.variableValues?.[name]);
      const key = digest(JSON.stringify([args.operationName, ...values]));
      const operation = operations.get(key) ?? { viewerDependent: false, subscribers: 0 };
      if (operation.subscribers === 0) {
        operations.set(key, operation);
        size += 1;
      }
      operation.subscribers += 1;
      return {
        operation,
        release() {
          operation.subscribers -= 1;
          if (operation.subscribers > 0) return;
          operations.delete(key);
          size -= 1;
        },
      };
    },
    size: () => size,
  };
}

/**
 * Returns the variables that the result of an event can depend on. Variables used only in arguments of the root field,
 * such as the start cursor, are left out: they select the events, but do not affect the result of an event.
 */
function variablesBelowRoot(document: DocumentNode): string[] {
  const names = new Set<string>();
  const Variable = { Variable: (node: { name: { value: string } }) => void names.add(node.name.value) };
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) visit(definition, Variable);
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    for (const directive of definition.directives ?? []) visit(directive, Variable);
    for (const selection of definition.selectionSet.selections) {
      for (const directive of selection.directives ?? []) visit(directive, Variable);
      if (selection.kind === Kind.FIELD && selection.selectionSet) visit(selection.selectionSet, Variable);
      if (selection.kind === Kind.INLINE_FRAGMENT) visit(selection.selectionSet, Variable);
    }
  }
  return [...names].sort();
}

/**
 * Hashes a key, so that it is short. A variable may be as long as the largest message, and the key stays in memory
 * until the subscription ends.
 */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
