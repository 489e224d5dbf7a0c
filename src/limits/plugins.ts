import { isUtf8 } from 'node:buffer';
import { type ExecutionArgs, getOperationAST, GraphQLError, OperationTypeNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Config } from '../config.ts';
import type { Operation } from '../context.ts';
import type { ErrorMask } from '../mask.ts';
import { networkOf } from './address.ts';
import type { Payer } from './rates.ts';
import type { OperationSlots } from './slots.ts';
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

/** Refuses a GET whose parameters are not JSON. Yoga parses them unguarded, and its SyntaxError counted as our failure. */
export const refuseMalformedParameters: Plugin = {
  onRequestParse({ request, url }) {
    if (request.method !== 'GET') return;
    for (const name of ['variables', 'extensions']) {
      const text = url.searchParams.get(name);
      if (text && !isJson(text)) throw badRequest(400, `The parameter "${name}" is not JSON. Send an object.`);
    }
  },
};

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Refuses bodies of more than `most` bytes with 413, and bodies that are not UTF-8 with 400: a decoder would replace what it
 * cannot read by U+FFFD, and the text would not be stored as it was sent. Node reads no more of a body than its length says,
 * so that only the bytes of bodies without a length are counted. Notes the size of the body as `bodyBytes`.
 */
export function checkBodies(most: number): Plugin {
  return {
    onRequestParse({ request, requestParser, setRequestParser, serverContext, fetchAPI }) {
      const length = request.headers.get('content-length');
      if (Number(length) > most) throw tooLarge();
      if (!requestParser || !request.body) return;
      setRequestParser(async (whole) => {
        const { url, method, headers } = whole;
        const reading = length === null && whole.body ? readAll(whole.body, most) : whole.bytes();
        const bytes = await reading.catch((error: unknown) => {
          throw error instanceof GraphQLError ? error : incomplete();
        });
        if (!isUtf8(bytes)) throw notUtf8();
        Object.assign(serverContext, { bodyBytes: bytes.length });
        return requestParser(new fetchAPI.Request(url, { method, headers, body: bytes }));
      });
    },
  };
}

async function readAll(body: ReadableStream<Uint8Array>, most: number): Promise<Buffer<ArrayBuffer>> {
  // Not by a loop over the body, which would hang up on whoever sends too much, in place of the answer.
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    bytes += read.value.byteLength;
    if (bytes > most) throw tooLarge();
    chunks.push(read.value);
  }
  return Buffer.concat(chunks);
}

/** The client has gone, or was cut off because it took too long. Neither is our failure, and any client can do it. */
const incomplete = () => badRequest(400, 'The request ended before its body did. Send it again.');

const notUtf8 = () => badRequest(400, 'The body of the request is not UTF-8. Encode it as UTF-8.');

const tooLarge = () => badRequest(413, 'This is more than a request may have. Ask for less at once.');

function badRequest(status: number, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status } } });
}

/** Has operations over HTTP asked by their ids; those over WebSocket take the same way before they are prepared. */
export function trustDocuments(trust: TrustDocuments): Plugin {
  return {
    onParams({ params, setParams }) {
      setParams(trust(params));
    },
  };
}

/** Whether what is executed only reads. */
export function isQuery({ document, operationName }: ExecutionArgs): boolean {
  return getOperationAST(document, operationName)?.operation === OperationTypeNode.QUERY;
}

export function isMutation({ document, operationName }: ExecutionArgs): boolean {
  return getOperationAST(document, operationName)?.operation === OperationTypeNode.MUTATION;
}

/**
 * Runs the operations of one client at most so many at once, and ends one that takes too long with an error like any other.
 * Waiting counts towards that time. Of a subscription only the start takes a slot.
 */
export function limitExecution(config: Config, slots: OperationSlots, mask: ErrorMask): Plugin {
  const ms = config.EXECUTION_SECONDS * 1_000;

  function acquire(args: ExecutionArgs): Promise<() => void> {
    const operation = args.contextValue as Operation & { incoming: { socket: { destroyed: boolean } } };
    // An operation that has waited for its turn still has time to be executed.
    const maxWaitMs = ms / 2;
    return slots.acquire({
      ...slotsOf(operation, config),
      maxWaitMs,
      isGone: () => operation.incoming.socket.destroyed,
    });
  }

  return {
    onExecute({ executeFn, setExecuteFn }) {
      const execute = executeFn as (args: ExecutionArgs) => Promise<object>;
      setExecuteFn(async (args: ExecutionArgs) => {
        const deadline = performance.now() + ms;
        try {
          const release = await acquire(args);
          const result = execute(args);
          // An operation that is given up keeps its slot while its statements run.
          result.then(release, release);
          return await within(deadline - performance.now(), result);
        } catch (error) {
          return { errors: [mask(error, (args.contextValue as Operation).requestId)] };
        }
      });
    },
    onSubscribe({ subscribeFn, setSubscribeFn }) {
      const subscribe = subscribeFn as (args: ExecutionArgs) => Promise<object>;
      setSubscribeFn(async (args: ExecutionArgs) => {
        const release = await acquire(args).catch((error: unknown) => mask(error));
        if (release instanceof GraphQLError) return { errors: [release] };
        return subscribe(args).finally(release);
      });
    },
  };
}

/** Whose slots an operation takes, and how many there are. Services work for many users, and have as many as a network. */
function slotsOf({ viewer, service, origin }: Payer, config: Config): { key: string; max: number } {
  if (config.RATE_LIMITS === 'off') return { key: '', max: Infinity };
  if (viewer) return { key: `user ${viewer.userId}`, max: config.MAX_OPERATIONS_PER_USER };
  const key = service ? `service ${service.name}` : `network ${networkOf(origin.ipAddress)}`;
  return { key, max: config.MAX_OPERATIONS_PER_ADDRESS };
}
