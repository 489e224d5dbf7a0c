import { getNamedType, isAbstractType, isLeafType, isNonNullType, isObjectType } from 'graphql';
import { schema } from './operations.ts';

/** A field on the way to a value. `on` is the type of an inline fragment around the field. */
interface Step {
  on: string | null;
  /** Name of the field with its arguments. */
  field: string;
  alias: string;
}

/** A way from a type to a scalar or enum. */
export type FieldPath = readonly Step[];

/** Returns the paths from a type to all scalars and enums, at most `depth` fields long. */
export function pathsFrom(typeName: string, depth: number, args: Record<string, string>): FieldPath[] {
  const type = schema.getType(typeName);
  if (isAbstractType(type))
    return schema
      .getPossibleTypes(type)
      .flatMap(({ name }) => pathsFrom(name, depth, args).map((path) => inFragment(name, path)));
  if (!isObjectType(type)) throw new Error(`${typeName} has no fields.`);
  return Object.values(type.getFields()).flatMap((field): FieldPath[] => {
    const needsArgs = field.args.some((arg) => isNonNullType(arg.type) && arg.defaultValue === undefined);
    const given = args[field.name];
    if (needsArgs && given === undefined) return [];
    const step = { on: null, field: `${field.name}${needsArgs ? `(${given})` : ''}`, alias: field.name };
    const named = getNamedType(field.type);
    if (isLeafType(named)) return [[step]];
    if (depth === 1) return [];
    return pathsFrom(named.name, depth - 1, args).map((path) => [step, ...path]);
  });
}

/** Two types of a union may have fields of the same name with different types, so each fragment has its own aliases. */
function inFragment(on: string, [first, ...rest]: FieldPath): FieldPath {
  return first ? [{ ...first, on, alias: `${on}_${first.alias}` }, ...rest] : [];
}

type Tree = Map<string, { step: Step; below: Tree }>;

/** Returns a selection set with all fields of some paths. */
export function selectionOf(paths: readonly FieldPath[]): string {
  const tree: Tree = new Map();
  for (const path of paths) {
    let at = tree;
    for (const step of path) {
      const key = `${step.on ?? ''}.${step.alias}`;
      const known = at.get(key) ?? { step, below: new Map() };
      at.set(key, known);
      at = known.below;
    }
  }
  return write(tree);
}

function write(tree: Tree): string {
  const fields = Array.from(tree.values(), ({ step: { on, field, alias }, below }) => {
    const text = `${alias}: ${field}${below.size > 0 ? ` ${write(below)}` : ''}`;
    return on === null ? text : `... on ${on} { ${text} }`;
  });
  return `{ __typename ${fields.join(' ')} }`;
}

/** Returns the names of the fields of a path, for the title of a failure. */
export function nameOf(path: FieldPath): string {
  return path.map(({ alias }) => alias).join('.');
}
