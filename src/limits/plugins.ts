import { type ExecutionArgs, getOperationAST, GraphQLError, OperationTypeNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Operation } from '../context.ts';
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

/**
 * Refuses bodies of more than so many bytes, with 413. Node reads no more of one than its length says, so that only those
 * that come without a length are counted; Yoga's own limit has all of them go through a stream more.
 */
export function limitBodies(most: number): Plugin {
  return {
    onRequestParse({ request, requestParser, setRequestParser, fetchAPI }) {
      const length = request.headers.get('content-length');
      if (Number(length) > most) throw tooLarge();
      if (length !== null || !requestParser || !request.body) return;
      setRequestParser(async ({ url, method, headers, body }) =>
        requestParser(new fetchAPI.Request(url, { method, headers, body: body && (await readAll(body, most)) })),
      );
    },
  };
}

async function readAll(body: ReadableStream<Uint8Array>, most: number): Promise<string> {
  // Not by a loop over the body, which would hang up on whoever sends too much, in place of the answer.
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    bytes += read.value.byteLength;
    if (bytes > most) throw tooLarge();
    chunks.push(read.value);
  }
  return Buffer.concat(chunks).toString();
}

function tooLarge(): GraphQLError {
  const extensions = { code: 'BAD_USER_INPUT', http: { status: 413 } };
  return new GraphQLError('This is more than a request may have. Ask for less at once.', { extensions });
}

/** Has operations over HTTP asked by their ids; those over WebSocket take the same way before they are prepared. */
export function trustDocuments(trust: TrustDocuments): Plugin {
  return {
    onParams({ params, setParams }) {
      setParams(trust(params));
    },
  };
}

/** Queries and the beginnings of subscriptions are charged as one; mutations by each of their fields, in schema.ts. */
export function chargeReading(mask: ErrorMask): Plugin<Operation> {
  async function refusal(operation: Operation): Promise<{ errors: GraphQLError[] } | null> {
    return operation.node.rates.charge(operation, READING).then(
      () => null,
      (error: unknown) => ({ errors: [mask(error)] }),
    );
  }
  return {
    async onExecute({ args, setResultAndStopExecution }) {
      if (!isQuery(args)) return;
      const refused = await refusal(args.contextValue);
      if (refused) setResultAndStopExecution(refused);
    },
    async onSubscribe({ args, setResultAndStopExecution }) {
      const refused = await refusal(args.contextValue);
      if (refused) setResultAndStopExecution(refused);
    },
  };
}

/** Whether what is executed only reads. */
export function isQuery({ document, operationName }: ExecutionArgs): boolean {
  return getOperationAST(document, operationName)?.operation === OperationTypeNode.QUERY;
}

/** Ends an execution that takes too long, with an error like any other. */
export function endInTime(ms: number, mask: ErrorMask): Plugin {
  return {
    onExecute({ executeFn, setExecuteFn }) {
      setExecuteFn(async (args: ExecutionArgs) => {
        try {
          return await within<object>(ms, Promise.resolve(executeFn(args)));
        } catch (error) {
          return { errors: [mask(error, (args.contextValue as Operation).requestId)] };
        }
      });
    },
  };
}
