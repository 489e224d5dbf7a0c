import {
  getNamedType,
  getNullableType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLObjectType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
} from 'graphql';
import { buildSchema } from '../../src/features/schema.ts';
import { bearer, PASSWORD, type Person, request } from './client.ts';

// Operations generated from the schema, for rules that hold for every field of a kind.

export const schema = buildSchema();
export const fieldsOf = (type: string) => Object.values((schema.getType(type) as GraphQLObjectType).getFields());

/** Valid values for arguments that accept only some texts. */
const VALID: Record<string, unknown> = {
  ...{ emoji: '👍', password: PASSWORD, newPassword: PASSWORD, email: 'nobody@example.org', query: 'word' },
  ...{ username: 'somebody', kind: 'GROUP' },
};

/** Returns a valid value for an argument. Ids are "x", which no object has. */
function valueFor(name: string, type: GraphQLInputType): unknown {
  const nullable = getNullableType(type);
  if (Object.hasOwn(VALID, name)) return VALID[name];
  if (isListType(nullable)) return [valueFor('', nullable.ofType)];
  if (isEnumType(nullable)) return nullable.getValues()[0]?.name;
  if (isInputObjectType(nullable)) {
    const required = Object.values(nullable.getFields()).filter(
      ({ type: of, defaultValue }) => isNonNullType(of) && defaultValue === undefined,
    );
    return Object.fromEntries(required.map((field) => [field.name, valueFor(field.name, field.type)]));
  }
  return { Int: 1, Boolean: true }[nullable.name] ?? 'x';
}

/** Returns a document that selects one root field, and values for its required arguments. */
export function operation(
  root: 'query' | 'mutation' | 'subscription',
  field: GraphQLField<unknown, unknown>,
): { query: string; variables: Record<string, any> } {
  const required = field.args.filter(({ type }) => isNonNullType(type));
  const variables = Object.fromEntries(required.map((arg) => [arg.name, valueFor(arg.name, arg.type)]));
  const declared = required.map((arg) => `$${arg.name}: ${String(arg.type)}`).join(', ');
  const passed = required.map((arg) => `${arg.name}: $${arg.name}`).join(', ');
  const query = `${root}${declared && ` (${declared})`} { ${field.name}${passed && `(${passed})`} { __typename } }`;
  return { query, variables };
}

/** Returns the names of a mutation's input fields. */
export function inputNames(field: GraphQLField<unknown, unknown>): string[] {
  return field.args.flatMap((arg) => {
    const type = getNamedType(arg.type);
    return isInputObjectType(type) ? Object.keys(type.getFields()) : [arg.name];
  });
}

/** Returns a document that runs a mutation with `$input`. */
export function mutationOf(name: string): string {
  const field = fieldsOf('Mutation').find((mutation) => mutation.name === name);
  if (!field) throw new Error(`There is no mutation ${name}.`);
  return operation('mutation', field).query;
}

/** Returns whether a mutation is about outgoing webhooks, which belong to services. */
export const isOfWebhooks = (name: string) => /webhook|redeliver/i.test(name) && !/incoming/i.test(name);

/** Names of all mutations of a room or its messages, except those of admins and of outgoing webhooks. */
export const roomMutations = fieldsOf('Mutation')
  .filter(({ name }) => !name.startsWith('admin') && !isOfWebhooks(name))
  .filter((field) => inputNames(field).some((name) => ['chatroomId', 'messageId', 'messageIds'].includes(name)))
  .map((field) => field.name)
  .sort();

/** Returns the code of the first of several errors. */
export const codeOf = (errors: unknown) =>
  (errors as { extensions: { code: string } }[] | undefined)?.[0]?.extensions.code;

/** Returns the code of an operation's first error, or "done". */
export async function outcome(asked: Promise<{ errors?: unknown }>): Promise<string> {
  const { errors } = await asked;
  return codeOf(errors) ?? 'done';
}

/** Runs an operation over HTTP for a user, and returns its outcome. */
export const outcomeFor = (person: Person, query: string, variables: object) =>
  outcome(request(person.url, query, variables, bearer(person)));
