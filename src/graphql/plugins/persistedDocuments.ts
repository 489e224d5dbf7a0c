import { readFileSync } from 'node:fs';
import { GraphQLError, type GraphQLSchema, parse, validate } from 'graphql';
import { ConfigError } from '../../core/config/config.ts';

/** Parameters of a request that name its document, on HTTP and WebSocket. */
export interface DocumentRequest {
  query?: string | undefined;
  documentId?: unknown;
  extensions?: Record<string, unknown> | null | undefined;
}

/**
 * Replaces the document id of a request by the document.
 *
 * @throws GraphQLError `BAD_USER_INPUT` for a request without an id or with an unknown id
 */
export type TrustDocuments = <Params extends DocumentRequest>(params: Params) => Params;

/**
 * Reads the file of trusted documents. Only these documents may then be executed. The file contains a JSON object that
 * maps ids to documents, such as the persisted documents of GraphQL Code Generator's client preset.
 *
 * Clients send an id as `documentId` or as `extensions.persistedQuery.sha256Hash`. Over WebSocket, `query` is then
 * empty.
 *
 * @returns the function that replaces ids by documents
 * @throws ConfigError if the file cannot be read or a document does not fit the schema
 */
export function readTrustedDocuments(path: string, schema: GraphQLSchema): TrustDocuments {
  const documents = read(path);
  for (const [id, document] of documents) check(path, id, document, schema);
  return (params) => {
    const id = idOf(params);
    if (id === undefined)
      throw refusal('This server executes only documents from its list. Send the id of one as documentId.');
    const query = documents.get(id);
    if (query === undefined)
      throw refusal('This document id is unknown. Add the document to the file that PERSISTED_ONLY names.');
    return { ...params, query };
  };
}

function read(path: string): Map<string, string> {
  try {
    const entries = Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>);
    if (entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return new Map(entries);
  } catch (error) {
    throw new ConfigError(
      `PERSISTED_ONLY cannot be "${path}": ${(error as Error).message}. Name a readable JSON file.`,
    );
  }
  throw new ConfigError(
    `PERSISTED_ONLY cannot be "${path}": a value is not text. Each value must be the text of a document.`,
  );
}

function check(path: string, id: string, document: string, schema: GraphQLSchema): void {
  try {
    const [error] = validate(schema, parse(document));
    if (error) throw error;
  } catch (error) {
    throw new ConfigError(
      `PERSISTED_ONLY cannot be "${path}": document ${id} does not fit the schema. ${(error as Error).message}`,
    );
  }
}

function idOf({ documentId, extensions }: DocumentRequest): string | undefined {
  const persisted = extensions?.['persistedQuery'] as { sha256Hash?: unknown } | null | undefined;
  const id = documentId ?? persisted?.sha256Hash;
  return typeof id === 'string' ? id : undefined;
}

function refusal(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } } });
}
