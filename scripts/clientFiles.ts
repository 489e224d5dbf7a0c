import { getIntrospectedSchema, minifyIntrospectionQuery } from '@urql/introspection';
import { readFileSync } from 'node:fs';
import {
  getNamedType,
  type GraphQLSchema,
  isAbstractType,
  isObjectType,
  Kind,
  NoUnusedFragmentsRule,
  parse,
  print,
  specifiedRules,
  stripIgnoredCharacters,
  validate,
} from 'graphql';
import { errorCodes } from '../src/core/errors.ts';

/** Returns the files of client/ that are generated from the schema. */
export function clientFiles(schema: GraphQLSchema) {
  return [
    { name: 'client/generated/schema.ts', text: schemaFile(schema) },
    { name: 'client/generated/introspection.ts', text: introspectionFile(schema) },
    { name: 'client/generated/fragments.ts', text: fragmentsFile(schema) },
  ];
}

function schemaFile(schema: GraphQLSchema): string {
  const types = Object.values(schema.getTypeMap()).filter(({ name }) => !name.startsWith('__'));
  const objects = types.filter(isObjectType);
  const roots = ['Query', 'Mutation', 'Subscription'];
  const codes = Object.entries(errorCodes).map(([code, meaning]) => `  /** ${meaning} */\n  | '${code}'`);
  const possibleTypes = types
    .filter(isAbstractType)
    .map((type) => [type.name, schema.getPossibleTypes(type).map(({ name }) => name)]);
  const keyless = objects.filter((type) => !roots.includes(type.name) && !('id' in type.getFields()));
  const connections = objects
    .map((type): [string, [string, string[]][]] => [
      type.name,
      Object.values(type.getFields())
        .filter((field) => getNamedType(field.type).name.endsWith('Connection'))
        .map((field) => [field.name, field.args.map((arg) => arg.name).filter((arg) => !paging.includes(arg))]),
    ])
    .filter(([, fields]) => fields.length > 0)
    .map(([name, fields]) => [name, Object.fromEntries(fields)]);
  return [
    '/** Error codes of the server. */',
    `export type ErrorCode =\n${codes.join('\n')};`,
    '',
    '/** Object types of each interface and union. */',
    `export const possibleTypes = ${JSON.stringify(Object.fromEntries(possibleTypes), null, 2)};`,
    '',
    '/** Types without an id. A cache stores them inside their parents. */',
    `export const keyless = ${JSON.stringify(keyless.map(({ name }) => name).sort())};`,
    '',
    '/** Paged lists by type, with the arguments that select another list. */',
    `export const connections = ${JSON.stringify(Object.fromEntries(connections), null, 2)};`,
    '',
  ].join('\n');
}

/** Returns the fragments of client/fragments.graphql by their names, after a check against the schema. */
function fragmentsFile(schema: GraphQLSchema): string {
  const document = parse(readFileSync(new URL('../client/fragments.graphql', import.meta.url), 'utf8'));
  const rules = specifiedRules.filter((rule) => rule !== NoUnusedFragmentsRule);
  const [error] = validate(schema, document, rules);
  if (error) throw error;
  const fragments = document.definitions.flatMap((definition) =>
    definition.kind === Kind.FRAGMENT_DEFINITION
      ? [[definition.name.value, stripIgnoredCharacters(print(definition))] as const]
      : [],
  );
  return `/** The fragments of fragments.graphql, by their names. */\nexport const fragments = ${JSON.stringify(Object.fromEntries(fragments), null, 2)};\n`;
}

const paging = ['first', 'last', 'after', 'before'];

/** Returns the minimal introspection result that urql's cache needs. */
function introspectionFile(schema: GraphQLSchema): string {
  const minified = minifyIntrospectionQuery(getIntrospectedSchema(schema));
  return `/** The schema, without descriptions, inputs and scalars. */\nexport const introspection = ${JSON.stringify(minified)} as const;\n`;
}
