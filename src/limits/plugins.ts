import { type ExecutionArgs, getOperationAST, type GraphQLError, OperationTypeNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Context } from '../context.ts';
import type { ErrorMask } from '../mask.ts';
import { READING } from './rates.ts';
import { within } from './time.ts';
import type { TrustDocuments } from './trusted.ts';

/** A page of any site can send a form without having asked us: only JSON is read. */
export const refuseForms: Plugin = {
  onRequestParse({ request, endResponse, fetchAPI }) {
    const type = request.headers.get('content-type') ?? '';
    if (request.method === 'POST' && !/^application\/json\b/i.test(type))
      endResponse(new fetchAPI.Response(null, { status: 415 }));
  },
};

/** Has operations over HTTP asked by their ids; those over WebSocket take the same way before they are prepared. */
export function trustDocuments(trust: TrustDocuments): Plugin {
  return {
    onParams({ params, setParams }) {
      setParams(trust(params));
    },
  };
}

/** Queries and the beginnings of subscriptions are charged as one; mutations by each of their fields, in schema.ts. */
export function chargeReading(mask: ErrorMask): Plugin<Context> {
  async function refusal({ rates, ...who }: Context): Promise<{ errors: GraphQLError[] } | null> {
    return rates.charge(who, READING).then(
      () => null,
      (error: unknown) => ({ errors: [mask(error)] }),
    );
  }
  return {
    async onExecute({ args, setResultAndStopExecution }) {
      const { document, operationName, contextValue } = args as ExecutionArgs;
      if (getOperationAST(document, operationName)?.operation !== OperationTypeNode.QUERY) return;
      const refused = await refusal(contextValue as Context);
      if (refused) setResultAndStopExecution(refused);
    },
    async onSubscribe({ args, setResultAndStopExecution }) {
      const refused = await refusal(args.contextValue);
      if (refused) setResultAndStopExecution(refused);
    },
  };
}

/** Ends an execution that takes too long, with an error like any other. */
export function endInTime(ms: number, mask: ErrorMask): Plugin {
  return {
    onExecute({ executeFn, setExecuteFn }) {
      setExecuteFn(async (args: ExecutionArgs) => {
        try {
          return await within<object>(ms, Promise.resolve(executeFn(args)));
        } catch (error) {
          return { errors: [mask(error, (args.contextValue as Context).requestId)] };
        }
      });
    },
  };
}
