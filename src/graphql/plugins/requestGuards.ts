import { isUtf8 } from 'node:buffer';
import { type ExecutionArgs, getOperationAST, GraphQLError, OperationTypeNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Config } from '../../core/config/settings.ts';
import type { Operation } from '../../core/context.ts';
import type { ErrorMask } from './errorMask.ts';
import { subnetOf } from '../../core/clientAddress.ts';
import type { Payer } from '../../platform/rateLimits/rateLimits.ts';
import type { OperationSlots } from '../../platform/rateLimits/slots.ts';
import { withTimeout } from '../../core/timeout.ts';
import type { TrustDocuments } from './persistedDocuments.ts';

/**
 * Responds with 415 to POST requests that are not JSON, because a page of any site can send a form without a CORS
 * preflight.
 */
export const refuseForms: Plugin = {
  onRequestParse({ request, endResponse, fetchAPI }) {
    const type = request.headers.get('content-type') ?? '';
    if (request.method === 'POST' && !/^application\/json\b/i.test(type))
      endResponse(new fetchAPI.Response(null, { status: 415 }));
  },
};

/**
 * Refuses a GET whose `variables` or `extensions` are not JSON. Yoga would throw a SyntaxError, which would count as a
 * server failure.
 */
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
 * Refuses bodies of more than `maxBytes` with 413, and bodies that are not UTF-8 with 400. A decoder would replace
 * invalid bytes by U+FFFD, and messages would not be stored as they were sent.
 *
 * Node reads at most Content-Length bytes, so bytes are counted only for bodies without that header. The size of the
 * body is stored in the context as `bodyBytes`.
 */
export function checkBodies(maxBytes: number): Plugin {
  return {
    onRequestParse({ request, requestParser, setRequestParser, serverContext, fetchAPI }) {
      const length = request.headers.get('content-length');
      if (Number(length) > maxBytes) throw tooLarge();
      if (!requestParser || !request.body) return;
      setRequestParser(async (whole) => {
        const { url, method, headers } = whole;
        const reading = length === null && whole.body ? readAll(whole.body, maxBytes) : whole.bytes();
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

async function readAll(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Buffer<ArrayBuffer>> {
  // Not a `for await` loop: leaving the loop would close the connection of a client that sends too much, and the client
  // would not receive the response.
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    bytes += read.value.byteLength;
    if (bytes > maxBytes) throw tooLarge();
    chunks.push(read.value);
  }
  return Buffer.concat(chunks);
}

/**
 * Returns the error for a client that has disconnected, or was disconnected for being too slow. Any client can
 * disconnect, so the error must not count as a server failure.
 */
const incomplete = () => badRequest(400, 'The request ended before its body was complete. Send it again.');

const notUtf8 = () => badRequest(400, 'The body of the request is not UTF-8. Encode it as UTF-8.');

const tooLarge = () => badRequest(413, 'The body of the request is too large. Send less in one request.');

function badRequest(status: number, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status } } });
}

/** Replaces document ids of HTTP requests by documents. For WebSocket operations, `prepare` (yoga.ts) does the same. */
export function trustDocuments(trust: TrustDocuments): Plugin {
  return {
    onParams({ params, setParams }) {
      setParams(trust(params));
    },
  };
}

/** Returns whether the operation is a query. */
export function isQuery({ document, operationName }: ExecutionArgs): boolean {
  return getOperationAST(document, operationName)?.operation === OperationTypeNode.QUERY;
}

/** Returns whether the operation is a mutation. */
export function isMutation({ document, operationName }: ExecutionArgs): boolean {
  return getOperationAST(document, operationName)?.operation === OperationTypeNode.MUTATION;
}

/**
 * Limits how many operations of one client run at the same time, and how long a query or mutation runs.
 *
 * A query or mutation that exceeds EXECUTION_SECONDS fails with an error. Waiting for a slot counts towards that time.
 * A subscription uses a slot only while it is set up.
 */
export function limitExecution(config: Config, slots: OperationSlots, mask: ErrorMask): Plugin {
  const ms = config.EXECUTION_SECONDS * 1_000;

  function acquire(args: ExecutionArgs): Promise<() => void> {
    const operation = args.contextValue as Operation & { incoming: { socket: { destroyed: boolean } } };
    // Half of the time, so that an operation that has waited still has time to execute.
    const maxWaitMs = ms / 2;
    return slots.acquire({
      ...slotsOf(operation, config),
      maxWaitMs,
      isDisconnected: () => operation.incoming.socket.destroyed,
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
          // An operation that has timed out occupies its slot until its statements have ended.
          result.then(release, release);
          return await withTimeout(deadline - performance.now(), result);
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

/**
 * Returns the key under which a client's operations are counted, and its maximum number of slots. A service works for
 * many users, and therefore gets as many slots as a network.
 */
function slotsOf({ viewer, service, client }: Payer, config: Config): { key: string; max: number } {
  if (config.RATE_LIMITS === 'off') return { key: '', max: Infinity };
  if (viewer) return { key: `user ${viewer.userId}`, max: config.MAX_OPERATIONS_PER_USER };
  const key = service ? `service ${service.name}` : `network ${subnetOf(client.ipAddress)}`;
  return { key, max: config.MAX_OPERATIONS_PER_ADDRESS };
}
