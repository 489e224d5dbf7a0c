import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLError,
  type GraphQLSchema,
  type ParseOptions,
  validate,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Config } from '../../core/config/settings.ts';
import type { ErrorMask } from './errorMask.ts';
import { subnetOf } from '../../core/clientAddress.ts';
import { memoizeComplexity } from './complexity.ts';
import {
  collectErrors,
  documentPoints,
  limitRules,
  measureDocument,
  parseWithin,
  tooComplex,
} from './documentRules.ts';
import { findLargestList } from './largestList.ts';
import { isMutation } from './requestGuards.ts';
import { BYTES_PER_POINT, type Payer, type RateLimits, READ_COST } from '../../platform/rateLimits/rateLimits.ts';
import type { Transport } from '../transport.ts';
import { createTurns } from './turns.ts';

/**
 * Complexity that costs one rate limit point, in addition to `READ_COST`. With the default MAX_COMPLEXITY of 13,000, the
 * most complex operation costs 26 points plus `READ_COST`.
 */
const COMPLEXITY_PER_POINT = 500;

/** The part of the parsing context that this plugin uses. Present on HTTP and WebSocket. */
interface Sender {
  payer: Payer;
}

/**
 * Creates the scheduler for parsing new documents. Documents are parsed one by one, because parsing and validating one
 * blocks the node for up to 120 ms.
 *
 * @param known the cache of parsed documents
 * @returns a function that resolves when a sender's document may be parsed; at once if the document is in the cache. It
 *   rejects with `RATE_LIMITED` if the sender has no points left or too many waiting documents.
 */
export function createDocumentTurns(
  known: { has: (text: string) => boolean },
  rates: RateLimits,
): (sender: Payer, text: string) => Promise<void> {
  const awaitTurn = createTurns();
  return async (sender, text) => {
    if (known.has(text)) return;
    const refusal = rates.refusalOf(sender);
    if (refusal) throw refusal;
    const { viewer, service, client } = sender;
    await awaitTurn(viewer?.userId ?? service?.name ?? subnetOf(client.ipAddress));
  };
}

/** Sets the payer of an HTTP request, charges for its bytes, and waits until its document may be parsed. */
export function identifyPayers(
  findPayer: (transport: Transport) => Promise<Payer>,
  rates: RateLimits,
  awaitTurn: ReturnType<typeof createDocumentTurns>,
): Plugin {
  return {
    async onParams({ context, params }) {
      const transport = context as Transport & { bodyBytes?: number };
      const payer = await findPayer(transport);
      Object.assign(context, { payer });
      const points = Math.floor((transport.bodyBytes ?? 0) / BYTES_PER_POINT);
      if (points > 0) await rates.charge(payer, points);
      await awaitTurn(payer, params.query ?? '');
    },
  };
}

/**
 * Limits and charges documents and operations.
 *
 * A document that is too long, too deep or has too many aliases or directives is refused before it is validated. An
 * operation that is too complex is refused before it is executed. A refusal contains exactly one error, even if several
 * limits are exceeded.
 *
 * A document that is not in the cache costs points by its length, because parsing and validating take up to 120 ms. If
 * the sender has no points left, the document is refused without being parsed. A cached document does not cost these
 * points. If one client has used up the points of its network, the others can therefore still sign in with a cached
 * document.
 */
export function limitQueries(
  config: Config,
  introspection: boolean,
  rates: RateLimits,
  mask: ErrorMask,
): Plugin<Sender> {
  const rules = limitRules(config, introspection);
  const limitErrors = new WeakMap<DocumentNode, readonly GraphQLError[]>();
  /** Points that have not been charged yet, by parsed document. */
  const unpaid = new WeakMap<DocumentNode, number>();
  const complexityOf = memoizeComplexity();

  function chargeRefused({ payer }: Sender, points: number): void {
    // If the charge fails, the response still says why the document was refused. The rate limit then refuses the next
    // request.
    rates.chargeDocument(payer, READ_COST + points).catch(() => undefined);
  }

  function removeUnpaid(document: DocumentNode): number {
    const points = unpaid.get(document) ?? 0;
    unpaid.delete(document);
    return points;
  }

  function parseNew(sender: Sender, text: string, options?: ParseOptions): DocumentNode {
    const refusal = rates.refusalOf(sender.payer);
    if (refusal) throw mask(refusal);
    const size = measureDocument(text, config.MAX_TOKENS);
    try {
      const document = parseWithin(config.MAX_TOKENS, text, size, options);
      unpaid.set(document, documentPoints(size.tokens));
      return document;
    } catch (error) {
      chargeRefused(sender, documentPoints(size.tokens));
      throw error;
    }
  }

  /**
   * Charges an operation before its execution. Returns the errors for which the operation is refused; none if it may be
   * executed.
   */
  async function admit(args: ExecutionArgs): Promise<readonly GraphQLError[]> {
    const payer = args.contextValue as Payer;
    let complexity = 0;
    const errors = collectErrors(() => {
      complexity = complexityOf(args);
      return complexity <= config.MAX_COMPLEXITY ? [] : [exceeds(complexity, config.MAX_COMPLEXITY, args)];
    });
    const size = Math.floor(Math.min(complexity, config.MAX_COMPLEXITY) / COMPLEXITY_PER_POINT);
    // Fields of a mutation are charged one by one when they are resolved, so an executed mutation pays no `READ_COST`.
    const points = size + (isMutation(args) && errors.length === 0 ? 0 : READ_COST);
    const documentCost = removeUnpaid(args.document);
    try {
      if (documentCost > 0) await rates.chargeDocument(payer, documentCost);
      if (points > 0) await rates.charge(payer, points);
    } catch (error) {
      return [mask(error)];
    }
    return errors.map((error) => mask(error));
  }

  return {
    onParse({ context, setParseFn }) {
      // Yoga parses only documents that are not in the cache.
      setParseFn((source, options) => parseNew(context, source as string, options as ParseOptions));
    },
    onValidate({ context, params: { schema, documentAST }, validateFn, setValidationFn, setResult }) {
      const document = documentAST as DocumentNode;
      let errors = limitErrors.get(document);
      if (!errors)
        limitErrors.set(document, (errors = collectErrors(() => validate(schema as GraphQLSchema, document, rules))));
      if (errors.length > 0) setResult(errors);
      setValidationFn((...args: unknown[]) =>
        collectErrors(() => (validateFn as (...args: unknown[]) => readonly GraphQLError[])(...args)),
      );
      return ({ valid }) => {
        if (!valid) chargeRefused(context, removeUnpaid(document));
      };
    },
    async onExecute({ args, setResultAndStopExecution }) {
      const errors = await admit(args);
      if (errors.length > 0) setResultAndStopExecution({ errors });
    },
    async onSubscribe({ args, setResultAndStopExecution }) {
      const errors = await admit(args);
      if (errors.length > 0) setResultAndStopExecution({ errors });
    },
  };
}

function exceeds(complexity: number, max: number, args: ExecutionArgs): GraphQLError {
  const list = findLargestList(args);
  const largest = list ? ` \`${list.path}\` alone may return ${list.items} items.` : '';
  return tooComplex(
    `The operation asks for up to ${complexity} fields; the maximum is ${max}.${largest} Ask for fewer items or fields, or request nested lists in a separate operation.`,
  );
}
