import { readFileSync } from 'node:fs';
import { GraphQLError, type GraphQLSchema, parse, validate } from 'graphql';
import { ConfigError } from '../config.ts';

/** What an operation is asked by, on whichever transport. */
export interface Asked {
  query?: string | undefined;
  documentId?: unknown;
  extensions?: Record<string, unknown> | null | undefined;
}

/** Puts in the place of an operation's id its document, and refuses what is not known by an id. */
export type TrustDocuments = <Params extends Asked>(params: Params) => Params;

/**
 * Reads the documents that alone may be executed: a JSON object of documents by their ids, as the persisted documents of
 * codegen's client preset. Clients name one as `documentId`, or as `extensions.persistedQuery.sha256Hash`, which over
 * WebSocket stands beside an empty `query`.
 *
 * @throws ConfigError for a file that cannot be read, and for a document that does not fit the schema
 */
export function readTrustedDocuments(path: string, schema: GraphQLSchema): TrustDocuments {
  const documents = read(path);
  for (const [id, document] of documents) check(path, id, document, schema);
  return (params) => {
    const id = idOf(params);
    if (id === undefined)
      throw refusal('This server executes only documents that it knows. Send the id of one as documentId.');
    const query = documents.get(id);
    if (query === undefined)
      throw refusal('This server knows no document of this id. Add it to the file of PERSISTED_ONLY.');
    return { ...params, query };
  };
}

function read(path: string): Map<string, string> {
  try {
    const entries = Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>);
    if (entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return new Map(entries);
  } catch (error) {
    throw new ConfigError(`PERSISTED_ONLY cannot be "${path}": ${(error as Error).message}`);
  }
  throw new ConfigError(`PERSISTED_ONLY cannot be "${path}": each of its values must be the text of a document.`);
}

function check(path: string, id: string, document: string, schema: GraphQLSchema): void {
  try {
    const [error] = validate(schema, parse(document));
    if (error) throw error;
  } catch (error) {
    throw new ConfigError(
      `PERSISTED_ONLY cannot be "${path}": document ${id} does not fit. ${(error as Error).message}`,
    );
  }
}

function idOf({ documentId, extensions }: Asked): string | undefined {
  const persisted = extensions?.['persistedQuery'] as { sha256Hash?: unknown } | null | undefined;
  const id = documentId ?? persisted?.sha256Hash;
  return typeof id === 'string' ? id : undefined;
}

function refusal(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } } });
}
