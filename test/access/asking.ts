import {
  getNamedType,
  type GraphQLNamedType,
  type GraphQLObjectType,
  isAbstractType,
  isLeafType,
  isNonNullType,
  isObjectType,
} from 'graphql';
import { expect } from 'vitest';
import { connect, type GraphQLResult, request } from '../support/client.ts';
import { codeOf, schema } from '../support/operations.ts';
import type { TestServer } from '../support/server.ts';

export const roots = { query: 'Query', mutation: 'Mutation', subscription: 'Subscription' } as const;
export type Root = keyof typeof roots;
export type Transport = 'HTTP' | 'WebSocket';

/** An operation and its access token, or null for none. */
export interface Question {
  query: string;
  variables: Record<string, unknown>;
  token: string | null;
}

export const fieldsOf = (type: string) => (schema.getType(type) as GraphQLObjectType).getFields();

/**
 * Returns a document that selects one root field.
 *
 * @param selection by default all fields, one level deep
 */
export function documentOf(root: Root, name: string, args: readonly string[], selection?: string): string {
  const field = fieldsOf(roots[root])[name];
  if (!field) throw new Error(`There is no ${root} ${name}.`);
  const given = field.args.filter((arg) => args.includes(arg.name));
  const list = (parts: string[]) => (parts.length > 0 ? `(${parts.join(', ')})` : '');
  const declared = list(given.map((arg) => `$${arg.name}: ${String(arg.type)}`));
  const passed = list(given.map((arg) => `${arg.name}: $${arg.name}`));
  const byDefault = root === 'subscription' ? '{ __typename }' : selectionOf(getNamedType(field.type));
  return `${root} ${declared} { ${name}${passed} ${selection ?? byDefault} }`;
}

function selectionOf(type: GraphQLNamedType): string {
  if (isAbstractType(type) || !isObjectType(type)) return '{ __typename }';
  const selected = Object.values(type.getFields())
    .filter((field) => !field.args.some((arg) => isNonNullType(arg.type) && arg.defaultValue === undefined))
    .map((field) => `${field.name}${isLeafType(getNamedType(field.type)) ? '' : ' { __typename }'}`);
  return `{ ${selected.join(' ')} }`;
}

/** Returns the code of the first error, `null` if nothing was found, or else "done". */
function outcomeOf({ data, errors }: GraphQLResult): string {
  const code = codeOf(errors);
  if (code !== undefined) return code;
  const [answer] = Object.values(data ?? {}).flat();
  return answer === null || answer === undefined ? 'null' : 'done';
}

/** Runs a query or mutation and returns its outcome. */
export async function ask({ url }: TestServer, transport: Transport, question: Question): Promise<string> {
  const { query, variables, token } = question;
  if (transport === 'WebSocket') {
    const socket = connect(url, token ?? undefined);
    return socket.ask(query, variables).then(outcomeOf, async () => `closed with ${Number(await socket.closed)}`);
  }
  return outcomeOf(await request(url, query, variables, token === null ? {} : { authorization: `Bearer ${token}` }));
}

/** Subscribes and returns the outcome, which is "done" once the stream is open. No other stream may be open. */
export async function listen({ url, node }: TestServer, transport: Transport, question: Question): Promise<string> {
  const stream = transport === 'HTTP' ? listenBySse(url, question) : listenBySocket(url, question);
  let refusal: string | undefined;
  void stream.refused.then((code) => (refusal = code));
  // A stream that begins with a snapshot is open once the snapshot has been read.
  const delivered = () => node.counters.sse.delivered + node.counters.websocket.delivered;
  const before = delivered();
  const isOpen = () => node.gauges.streams > 0 && (question.variables['snapshot'] !== true || delivered() > before);
  const outcome = () => refusal ?? (isOpen() ? 'done' : undefined);
  await expect.poll(outcome, { interval: 5 }).toBeDefined();
  const told = outcome();
  stream.stop();
  await expect.poll(() => node.gauges.streams, { interval: 5 }).toBe(0);
  return told ?? '';
}

function listenBySocket(url: string, { query, variables, token }: Question) {
  const stream = connect(url, token ?? undefined).subscribe(query, variables);
  return {
    refused: stream.ended.then((how) => codeOf(how) ?? 'ended without a word'),
    stop: () => {
      stream.stop();
    },
  };
}

function listenBySse(url: string, { query, variables, token }: Question) {
  const abort = new AbortController();
  const response = fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      ...{ 'content-type': 'application/json', accept: 'text/event-stream' },
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
    signal: abort.signal,
  });
  const refused = response
    .then((answer) => answer.text())
    .then((text) => codeOf(JSON.parse(/^data: (.+)$/m.exec(text)?.[1] ?? '{}').errors) ?? 'ended without a word')
    .catch((error: unknown) => String(error));
  return {
    refused,
    stop: () => {
      abort.abort();
    },
  };
}
