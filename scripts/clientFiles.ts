import { getIntrospectedSchema, minifyIntrospectionQuery } from '@urql/introspection';
import { getNamedType, type GraphQLSchema, isAbstractType, isObjectType } from 'graphql';
import { errorCodes } from '../src/core/errors.ts';

/** What client/ has to know of the schema. */
export function clientFiles(schema: GraphQLSchema) {
  return [
    { name: 'client/generated/schema.ts', text: schemaFile(schema) },
    { name: 'client/generated/introspection.ts', text: introspectionFile(schema) },
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
    '/** Every failure of the server has one of these codes. */',
    `export type ErrorCode =\n${codes.join('\n')};`,
    '',
    '/** Which types an interface or union stands for. */',
    `export const possibleTypes = ${JSON.stringify(Object.fromEntries(possibleTypes), null, 2)};`,
    '',
    '/** The types that are found by no id: parts of others. */',
    `export const keyless = ${JSON.stringify(keyless.map(({ name }) => name).sort())};`,
    '',
    '/** The lists that are paged, by type, each with the arguments that make it another list. */',
    `export const connections = ${JSON.stringify(Object.fromEntries(connections), null, 2)};`,
    '',
  ].join('\n');
}

const paging = ['first', 'last', 'after', 'before'];

/** What the cache of urql has to know, and no more. */
function introspectionFile(schema: GraphQLSchema): string {
  const minified = minifyIntrospectionQuery(getIntrospectedSchema(schema));
  return `/** The schema, without descriptions, inputs and scalars. */\nexport const introspection = ${JSON.stringify(minified)} as const;\n`;
}
