import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLError,
  type GraphQLSchema,
  type ParseOptions,
  validate,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Config } from '../config.ts';
import type { ErrorMask } from '../mask.ts';
import { networkOf } from './address.ts';
import { memoizeComplexity } from './complexity.ts';
import { collectErrors, documentPoints, limitRules, measureDocument, parseWithin, tooComplex } from './documents.ts';
import { findLargestList } from './largestList.ts';
import { isMutation } from './plugins.ts';
import { type Payer, type Rates, READING } from './rates.ts';
import { createTurns } from './turns.ts';

/** Complexity that costs one point, on top of `READING`. The largest operation costs 16 points. */
const COMPLEXITY_PER_POINT = 500;

/** What a document is parsed with, on either transport. */
interface Sender {
  payer: Payer;
}

/**
 * Lets documents that the node does not know be parsed one after the other, because each takes up to 120 ms.
 *
 * @returns a function that resolves when the document of a sender may be parsed, and fails with `RATE_LIMITED` for a sender
 *   without points or with too many documents that wait
 */
export function createDocumentTurns(
  known: { has: (text: string) => boolean },
  rates: Rates,
): (sender: Payer, text: string) => Promise<void> {
  const awaitTurn = createTurns();
  return async (sender, text) => {
    if (known.has(text)) return;
    const refusal = rates.refusalOf(sender);
    if (refusal) throw refusal;
    const { viewer, service, origin } = sender;
    await awaitTurn(viewer?.userId ?? service?.name ?? networkOf(origin.ipAddress));
  };
}

/**
 * Limits and charges documents and operations. A document that is too long, too deep or has too many aliases or directives
 * is refused before it is validated, and an operation that is too complex before it is executed. Such a refusal has one
 * error, whatever else is wrong with the document.
 *
 * A document that the node does not know is charged by its length, because parsing and validating it takes up to 120 ms.
 * A sender who has no points left is refused before that. Known documents cost nothing to look up, so that clients of a
 * network whose points were used up by somebody else go on with the documents that everybody sends.
 */
export function limitQueries(config: Config, introspection: boolean, rates: Rates, mask: ErrorMask): Plugin<Sender> {
  const rules = limitRules(config, introspection);
  const limitErrors = new WeakMap<DocumentNode, readonly GraphQLError[]>();
  /** Points of a parsed document, until somebody has paid them. */
  const unpaid = new WeakMap<DocumentNode, number>();
  const complexityOf = memoizeComplexity();

  function chargeRefused({ payer }: Sender, points: number): void {
    // The sender is told why the document was refused. A sender without points left is refused next time.
    rates.chargeDocument(payer, READING + points).catch(() => undefined);
  }

  function takeUnpaid(document: DocumentNode): number {
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

  /** Returns the errors of an operation that is refused before it is executed. */
  async function admit(args: ExecutionArgs): Promise<readonly GraphQLError[]> {
    const payer = args.contextValue as Payer;
    let complexity = 0;
    const errors = collectErrors(() => {
      complexity = complexityOf(args);
      return complexity <= config.MAX_COMPLEXITY ? [] : [exceeds(complexity, config.MAX_COMPLEXITY, args)];
    });
    const size = Math.floor(Math.min(complexity, config.MAX_COMPLEXITY) / COMPLEXITY_PER_POINT);
    // Fields of mutations are charged one by one when they are resolved.
    const points = size + (isMutation(args) && errors.length === 0 ? 0 : READING);
    const documentCost = takeUnpaid(args.document);
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
      // Called for documents that are not in the cache.
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
        if (!valid) chargeRefused(context, takeUnpaid(document));
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
    `This asks for up to ${complexity} fields, of ${max} at most.${largest} Ask for fewer items or fields, or for a list inside a list in an operation of its own.`,
  );
}
