import { readFile } from 'node:fs/promises';
import { type Change, ChangeType, CriticalityLevel, diff } from '@graphql-inspector/core';
import {
  buildSchema as parseSchema,
  type GraphQLSchema,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
} from 'graphql';

/** The surface that clients rely on, a neighbour of this repository that need not be there. */
const SURFACE = new URL('../../shared/surface.graphql', import.meta.url);

export interface SurfaceComparison {
  /** How many of the surface's fields and input fields there are. */
  present: number;
  total: number;
  /** What is not there yet, such as `type PushDevice` or `Chatroom.topic`. */
  absent: string[];
  /** What is there, but not as the surface promises it. */
  contradictions: string[];
}

/** Compares a schema with the surface; null where there is none to compare with. */
export async function compareWithSurface(schema: GraphQLSchema): Promise<SurfaceComparison | null> {
  const text = await readFile(SURFACE, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  return text === null ? null : compare(parseSchema(text), schema);
}

export async function compare(surface: GraphQLSchema, schema: GraphQLSchema): Promise<SurfaceComparison> {
  const changes = await diff(surface, schema);
  const names = fieldsOf(surface);
  const there = new Set(fieldsOf(schema));
  return {
    present: names.filter((name) => there.has(name)).length,
    total: names.length,
    absent: changes.filter(isAbsence).map((change) => change.path ?? change.message),
    contradictions: changes
      .filter((change) => !isAbsence(change) && contradicts(change))
      .map((change) => change.message),
  };
}

const absences = new Set<string>([
  ChangeType.TypeRemoved,
  ChangeType.FieldRemoved,
  ChangeType.FieldArgumentRemoved,
  ChangeType.InputFieldRemoved,
  ChangeType.EnumValueRemoved,
  ChangeType.UnionMemberRemoved,
  ChangeType.ObjectTypeInterfaceRemoved,
]);

function isAbsence(change: Change): boolean {
  return absences.has(change.type);
}

/** Breaks clients; and a promised default that changed, which inspector calls only dangerous. */
function contradicts({ type, criticality, meta }: Change): boolean {
  if (criticality.level === CriticalityLevel.Breaking) return true;
  const defaults = meta as { oldDefaultValue?: unknown; oldValue?: unknown };
  return (
    (type === ChangeType.FieldArgumentDefaultChanged || type === ChangeType.InputFieldDefaultValueChanged) &&
    (defaults.oldDefaultValue ?? defaults.oldValue) !== undefined
  );
}

function fieldsOf(schema: GraphQLSchema): string[] {
  return Object.values(schema.getTypeMap())
    .filter((type) => !type.name.startsWith('__'))
    .flatMap((type) =>
      isObjectType(type) || isInterfaceType(type) || isInputObjectType(type)
        ? Object.keys(type.getFields()).map((field) => `${type.name}.${field}`)
        : [],
    );
}
