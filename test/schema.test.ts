import { readFile } from 'node:fs/promises';
import {
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
  buildSchema as parseSchema,
} from 'graphql';
import { describe, expect, it, test } from 'vitest';
import { generatedFiles } from '../scripts/generatedFiles.ts';
import { compare, compareWithSurface } from '../scripts/surface.ts';
import { buildSchema } from '../src/features/schema.ts';

describe.each(generatedFiles())('$name', ({ url, text }) => {
  it('is current (otherwise run npm run schema)', async () => {
    expect(await readFile(url, 'utf8')).toBe(text);
  });
});

test('the schema describes every type, field, argument, enum value and input field', () => {
  expect(undescribed(buildSchema())).toEqual([]);
});

const comparison = await compareWithSurface(buildSchema());

test.skipIf(comparison === null)('the schema keeps the promises of the surface', () => {
  expect(comparison?.contradictions).toEqual([]);
});

const sdl = `
  type Query { user(name: String!, size: Int! = 1): User! room: String people(first: Int): [User!]! }
  type User { id: ID! mood: Mood }
  enum Mood { GLAD SAD }
  input Name { first: String! last: String! = "none" }
`;

describe('the comparison with the surface', () => {
  it('accepts missing and additional definitions', async () => {
    const schema = parseSchema(`
      type Query { user(name: String, size: Int! = 1, after: String, last: Int! = 2): User! people(first: Int = 20): [User!]! }
      type User { id: ID! mood: Mood! age: Int }
      enum Mood { GLAD TIRED }
    `);
    const { present, total, absent, contradictions } = await compare(parseSchema(sdl), schema);
    expect(contradictions).toEqual([]);
    expect(absent.sort()).toEqual(['Mood.SAD', 'Name', 'Query.room']);
    expect([present, total]).toEqual([4, 7]);
  });

  it.each([
    [
      'a field became nullable',
      'user(name: String!, size: Int! = 1): User!',
      'user(name: String!, size: Int! = 1): User',
    ],
    ['a field has another type', 'room: String', 'room: Int'],
    ['an argument became required', 'people(first: Int)', 'people(first: Int!)'],
    ['a required argument was added', 'room: String', 'room(number: Int!): String'],
    ['an argument has another default', 'size: Int! = 1', 'size: Int! = 2'],
    ['an argument lost its default', 'size: Int! = 1', 'size: Int!'],
    ['a required input field was added', 'first: String!', 'first: String! middle: String!'],
    ['an input field has another default', '= "none"', '= "some"'],
    ['an input field has another type', 'first: String!', 'first: Int!'],
  ])('rejects a schema in which %s', async (_, before, after) => {
    const { contradictions } = await compare(parseSchema(sdl), parseSchema(sdl.replace(before, after)));
    expect(contradictions).toHaveLength(1);
  });
});

/** Returns the names of everything without a description. */
function undescribed(schema: GraphQLSchema): string[] {
  const things: [name: string, description: string | null | undefined][] = [];
  for (const type of Object.values(schema.getTypeMap())) {
    if (isIntrospectionType(type) || isSpecifiedScalarType(type)) continue;
    things.push([type.name, type.description]);
    if (isEnumType(type)) {
      for (const value of type.getValues()) things.push([`${type.name}.${value.name}`, value.description]);
    } else if (isInputObjectType(type)) {
      for (const field of Object.values(type.getFields()))
        things.push([`${type.name}.${field.name}`, field.description]);
    } else if (isObjectType(type) || isInterfaceType(type)) {
      for (const field of Object.values(type.getFields())) {
        things.push([`${type.name}.${field.name}`, field.description]);
        for (const arg of field.args) things.push([`${type.name}.${field.name}(${arg.name}:)`, arg.description]);
      }
    }
  }
  return things.flatMap(([name, description]) => (description?.trim() ? [] : [name]));
}
