import { createServiceToken } from '../../src/auth/serviceTokens.ts';
import { type Scope, scopeNames } from '../../src/core/scopes.ts';
import { type GraphQLResult, request } from './client.ts';
import { codeOf } from './operations.ts';
import type { TestServer } from './server.ts';

export const UPSERT = `mutation ($input: UpsertUsersInput!) {
  upsertUsers(input: $input) { users { id externalId username nickname } } }`;
export const CREATE_TOKEN = `mutation ($input: CreateAccessTokenInput!) {
  createAccessToken(input: $input) { accessToken expiresAt } }`;
export const REVOKE_TOKENS = `mutation ($input: ExternalUserTargetInput!) {
  revokeAccessTokens(input: $input) { user { id } } }`;
export const CREATE_ROOM = `mutation ($input: CreateChatroomInput!) {
  createChatroom(input: $input) { chatroom { id externalId kind name memberCount owner { externalId } } } }`;
export const SEND_AS = `mutation ($input: SendMessageInput!) {
  sendMessage(input: $input) { deduplicated message { id number body sender { externalId } } } }`;

/** A backend with a service token. */
export interface Backend {
  token: string;
  /** Sends an operation and returns the result. */
  request(query: string, variables?: object): Promise<GraphQLResult>;
  /** Sends an operation and returns its data. Throws if it fails. */
  ask(query: string, variables?: object): Promise<any>;
  /** Calls a mutation with an input. Returns the payload. */
  call(query: string, input: object): Promise<any>;
  /** Calls a mutation with an input. Returns the code of the error, or "none". */
  code(query: string, input: object): Promise<string>;
}

let count = 0;

/** Creates a service with all scopes, or with those given. */
export async function backend({ node, url }: TestServer, scopes: readonly Scope[] = scopeNames): Promise<Backend> {
  const token = await createServiceToken(node.database, `shop${(count += 1)}`, scopes);
  const send = (query: string, variables?: object) =>
    request(url, query, variables, { authorization: `Bearer ${token}` });
  const ask = async (query: string, variables?: object) => {
    const { data, errors } = await send(query, variables);
    if (errors) throw new Error(JSON.stringify(errors));
    return data;
  };
  return {
    token,
    request: send,
    ask,
    call: async (query, input) => Object.values(await ask(query, { input }))[0],
    code: async (query, input) => codeOf((await send(query, { input })).errors) ?? 'none',
  };
}
