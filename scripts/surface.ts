import { readFile } from 'node:fs/promises';
import { type Change, ChangeType, CriticalityLevel, diff } from '@graphql-inspector/core';
import {
  buildSchema as parseSchema,
  type GraphQLSchema,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
} from 'graphql';

/** The surface that clients rely on. The file is next to this repository and optional. */
const SURFACE = new URL('../../shared/surface.graphql', import.meta.url);

export interface SurfaceComparison {
  /** Number of the surface's fields and input fields that the schema has. */
  present: number;
  /** Number of the surface's fields and input fields. */
  total: number;
  /** Missing parts of the surface, such as `type PushDevice` or `Chatroom.topic`. */
  absent: string[];
  /** Descriptions of parts that differ from the surface. */
  contradictions: string[];
}

/** Compares a schema with the surface. Returns null if the surface file does not exist. */
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

/** Returns true for breaking changes, and for changed defaults, which inspector only classifies as dangerous. */
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
