import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type FragmentDefinitionNode,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import { isAsyncIterable, type Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import { codeOf, type ErrorMask } from './errorMask.ts';
import type { Metrics } from '../../platform/observability/metrics.ts';

/** Recorded instead of the root field if an operation was refused before its execution. */
const REFUSED = 'refused';
const OK = 'OK';

/**
 * Records each operation and its outcome in the metrics and the log, on every transport. If an operation fails
 * unexpectedly, the error mask logs the failure with the request id of the operation.
 *
 * Operations are recorded by root field, because the schema limits the number of root fields. Operation names are
 * chosen by clients, and a client could send a new name with each request.
 */
export function logRequests({ metrics, log }: { metrics: Metrics; log: Logger }, mask: ErrorMask): Plugin {
  const began = new WeakMap<object, number>();

  function answered(context: object, operation: string, code: string): void {
    const seconds = (performance.now() - (began.get(context) ?? performance.now())) / 1_000;
    metrics.recordRequest(operation, code, seconds);
    // An operation that is refused before its context is created has no request id. The user is not logged, because not
    // every reader of the log may know which user sent an operation.
    const { requestId, response } = context as { requestId?: string; response?: object | null };
    const transport = response ? 'http' : 'websocket';
    log.info({ requestId, operation, code, ms: Math.round(seconds * 1e6) / 1e3, transport }, 'Answered');
  }

  function executed(args: ExecutionArgs, result: ExecutionResult | AsyncIterable<unknown>): void {
    const error = isAsyncIterable(result) ? undefined : result.errors?.[0];
    const code = error ? codeOf(error) : OK;
    answered(args.contextValue as object, rootFieldOf(args.document, args.operationName), code);
  }

  return {
    onPluginInit({ registerContextErrorHandler }) {
      registerContextErrorHandler(({ context, error }) => {
        answered(context, REFUSED, codeOf(error));
      });
    },
    onParse({ context }) {
      began.set(context, performance.now());
      return ({ result }) => {
        if (result instanceof Error) answered(context, REFUSED, codeOf(result));
      };
    },
    onValidate:
      ({ context }) =>
      ({ valid, result }) => {
        if (!valid) answered(context, REFUSED, codeOf(result[0]));
      },
    onExecute: ({ args }) => ({
      onExecuteDone({ result, setResult }) {
        const { requestId } = args.contextValue as { requestId?: string };
        if (!isAsyncIterable(result) && result.errors)
          setResult({ ...result, errors: result.errors.map((error) => mask(error, requestId)) });
        executed(args, result);
      },
    }),
    onSubscribe: ({ args }) => ({
      onSubscribeResult({ result }) {
        executed(args, result);
      },
    }),
  };
}

const rootFields = new WeakMap<DocumentNode, Map<string, string>>();

/**
 * Returns the name of the only root field of a validated operation. Returns `several` if the operation has more than
 * one root field, and `refused` if the document has no operation of this name.
 *
 * The result is cached per document and operation name, because tracing requests the name for each event of a
 * subscription.
 */
export function rootFieldOf(document: DocumentNode, operationName: string | null | undefined): string {
  const operation = getOperationAST(document, operationName);
  if (!operation) return REFUSED;
  let ofDocument = rootFields.get(document);
  if (!ofDocument) rootFields.set(document, (ofDocument = new Map<string, string>()));
  const key = operation.name?.value ?? '';
  let rootField = ofDocument.get(key);
  if (rootField === undefined) ofDocument.set(key, (rootField = computeRootField(document, operation)));
  return rootField;
}

function computeRootField(document: DocumentNode, operation: OperationDefinitionNode): string {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  const names = new Set<string>();
  function collect({ selections }: SelectionSetNode): void {
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) names.add(selection.name.value);
      else if (selection.kind === Kind.INLINE_FRAGMENT) collect(selection.selectionSet);
      else {
        const fragment = fragments.get(selection.name.value);
        // Deleted, so that each fragment is visited once. Otherwise nested fragment spreads would take exponential
        // time.
        fragments.delete(selection.name.value);
        if (fragment) collect(fragment.selectionSet);
      }
    }
  }
  collect(operation.selectionSet);
  if (names.size > 1) return 'several';
  const [name = REFUSED] = names;
  return name;
}
