import { createHash } from 'node:crypto';
import { type DocumentNode, type ExecutionArgs, type ExecutionResult, Kind, visit } from 'graphql';
import type { SubscriberGroup } from '../delivery/source.ts';
import type { PersonalResult } from './personalFields.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    sharedExecution: SharedExecution;
  }
}

/** Result of executing an event for one subscriber. Other subscribers may reuse the result. */
export interface SharedResult {
  /** Arguments of the subscriber for whom the event was executed. */
  executedFor: ExecutionArgs;
  /** Null if the execution failed. */
  result: ExecutionResult | null;
  failure?: unknown;
  /** Completes the result for each subscriber. Null if no field of the result is personal. */
  personal: PersonalResult | null;
  /**
   * True if other subscribers must not reuse the result: a viewer-dependent value was read, or the execution failed and
   * may succeed for them.
   */
  viewerDependent: boolean;
  /**
   * Returns whether no event has changed what the execution read from memory. A stream must not deliver an older value
   * after another stream of the same client has delivered the change.
   */
  isCurrent: () => boolean;
}

/** An execution that is running or has ended. */
export interface SharedExecutionRun {
  /** Null while the execution is running. */
  result: SharedResult | null;
  /** Resolves when the execution has ended. */
  ended: Promise<void>;
}

/**
 * An operation to which one or more clients are subscribed. Clients share it if their documents, operation names, and
 * variables that can affect a result are equal.
 */
export class SharedOperation implements SubscriberGroup {
  /** Number of open subscriptions of this operation. */
  subscribers = 0;
  /** Key of the operation among those of its document. */
  readonly key: string;
  readonly siblings: Map<string, SharedOperation>;
  /** Executions by event. A result stays in memory as long as its event, which a room tail keeps for half a second. */
  readonly #runs = new WeakMap<object, SharedExecutionRun>();

  constructor(key: string, siblings: Map<string, SharedOperation>) {
    [this.key, this.siblings] = [key, siblings];
  }

  /**
   * Returns the execution of an event, or starts it.
   *
   * @param execute must never reject
   */
  run(event: object, execute: () => Promise<SharedResult>): SharedExecutionRun {
    let run = this.#runs.get(event);
    if (!run) this.#runs.set(event, (run = start(execute)));
    return run;
  }

  /** Returns the result of an event. Null if the event has not been executed. */
  resultOf(event: object): SharedResult | null {
    return this.#runs.get(event)?.result ?? null;
  }

  pending(event: object): Promise<void> | null {
    const run = this.#runs.get(event);
    return run && !run.result ? run.ended : null;
  }
}

function start(execute: () => Promise<SharedResult>): SharedExecutionRun {
  const run: SharedExecutionRun = { result: null, ended: Promise.resolve() };
  run.ended = execute().then((result) => {
    run.result = result;
  });
  return run;
}

/** Operations of one document, by their names and variables. */
interface SharedDocument {
  /** Names of the variables that a result can depend on. */
  variables: readonly string[];
  operations: Map<string, SharedOperation>;
}

/**
 * The operations of one node to which clients are subscribed. Each event is executed once for all subscribers of an
 * operation.
 */
export class SharedExecution {
  readonly #isEnabled: boolean;
  readonly #documents = new WeakMap<DocumentNode, SharedDocument>();
  #size = 0;

  /**
   * @param options.isEnabled if false, each event is executed for each subscriber. The results are the same, at a
   *   higher cost.
   */
  constructor({ isEnabled }: { isEnabled: boolean }) {
    this.#isEnabled = isEnabled;
  }

  /** Registers a subscription, and returns its operation. Returns null if shared execution is off. */
  register(args: ExecutionArgs): SharedOperation | null {
    if (!this.#isEnabled) return null;
    const { variables, operations } = this.#documentOf(args.document);
    const values = variables.map((name) => args.variableValues?.[name]);
    const key = digest(JSON.stringify([args.operationName, ...values]));
    let operation = operations.get(key);
    if (!operation) {
      operations.set(key, (operation = new SharedOperation(key, operations)));
      this.#size += 1;
    }
    operation.subscribers += 1;
    return operation;
  }

  /** Removes a subscription. Call it once when the subscription has ended. */
  release(operation: SharedOperation): void {
    operation.subscribers -= 1;
    if (operation.subscribers > 0) return;
    operation.siblings.delete(operation.key);
    this.#size -= 1;
  }

  /** Returns the number of operations that have subscribers. */
  size(): number {
    return this.#size;
  }

  #documentOf(document: DocumentNode): SharedDocument {
    let known = this.#documents.get(document);
    if (!known)
      this.#documents.set(document, (known = { variables: variablesBelowRoot(document), operations: new Map() }));
    return known;
  }
}

/**
 * Returns the variables that can affect the result of an event. Leaves out variables that are used only in arguments of
 * the root field, such as the start cursor. They only select the events.
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
 * Hashes a key to shorten it. The variables in a key may have thousands of characters, and the key stays in memory
 * until the subscription ends.
 */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
