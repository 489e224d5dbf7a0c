import {
  type ExecutionResult,
  getNamedType,
  type GraphQLLeafType,
  type GraphQLOutputType,
  type GraphQLResolveInfo,
  isEnumType,
  isLeafType,
  isNonNullType,
} from 'graphql';
import type { Context } from '../core/context.ts';
import type { MaybePromise } from '../delivery/source.ts';

declare module '../core/context.ts' {
  interface ViewerTracking {
    /** Fields of the shared result that are completed for each subscriber. */
    personalFields: PersonalField[];
  }
}

type Path = readonly (string | number)[];

/** A scalar or enum field of a shared result whose value differs between viewers. */
export type PersonalField = { path: Path; type: GraphQLOutputType } & (
  | { /** Returns the value for the viewer of a context. */ load: (context: Context) => MaybePromise<unknown> }
  | { /** Returns the value of the event as the stream of the viewer delivers it. */ read: (event: object) => unknown }
);

/**
 * Resolves a field whose value depends on the viewer. In an execution for one viewer, loads the value.
 *
 * In an execution that subscribers share, records the field and returns a placeholder, so that the execution does not
 * read the viewer. The value is then loaded for each subscriber. The subscribers of an event load at the same time, so
 * use a viewer loader, which loads the values of all of them with one statement.
 *
 * @param load must use only the context that it receives. If it throws for a subscriber, the event is executed for that
 *   subscriber alone. The field must be a scalar or an enum.
 */
export function personal<Value>(
  context: Context,
  { path, returnType }: Pick<GraphQLResolveInfo, 'path' | 'returnType'>,
  load: (context: Context) => MaybePromise<Value>,
): MaybePromise<Value> {
  const { viewerTracking } = context;
  if (!viewerTracking) return load(context);
  viewerTracking.personalFields.push({ path: keysOf(path), type: returnType, load });
  return placeholderOf(returnType) as Value;
}

/**
 * Resolves a field of an event whose value depends on the stream that delivers the event, such as the cursor of a stream
 * over all rooms. Works like {@link personal}.
 */
export function fromEvent<Event extends object, Value>(
  context: Context,
  { path, returnType }: Pick<GraphQLResolveInfo, 'path' | 'returnType'>,
  event: Event,
  read: (event: Event) => Value,
): Value {
  const { viewerTracking } = context;
  if (!viewerTracking) return read(event);
  const readAny = (delivered: object) => read(delivered as Event);
  viewerTracking.personalFields.push({ path: keysOf(path), type: returnType, read: readAny });
  return placeholderOf(returnType) as Value;
}

/**
 * Object of a shared execution whose fields all depend on the viewer, such as the viewer's membership of a room. Its type
 * has `extensions: { isPersonal: true }`. The scalar fields of the object are then personal, see schemaPlugin.ts.
 */
export class PersonalObject {
  /** Loads the object for the viewer of a context. */
  readonly load: (context: Context) => Promise<object>;

  private constructor(load: (context: Context) => Promise<object>) {
    this.load = load;
  }

  /**
   * Creates the object in place of one that the field would return in an execution for one viewer.
   *
   * @param load must throw if the object does not exist for the viewer; see {@link personal}
   */
  static of<Value extends object>(load: (context: Context) => Promise<Value>): Value {
    return new PersonalObject(load) as unknown as Value;
  }
}

/** Returns whether a field has a scalar or enum type, so that it can be personal. */
export function isLeafField(type: GraphQLOutputType): boolean {
  return isLeafType(isNonNullType(type) ? type.ofType : type);
}

/** Values of non-null scalars that the type can serialize. Subscribers never receive them. */
const placeholders: Record<string, unknown> = { Int: 0, Boolean: false, String: '', ID: '', DateTime: new Date(0) };

function placeholderOf(type: GraphQLOutputType): unknown {
  if (!isNonNullType(type)) return null;
  const leaf: GraphQLOutputType = type.ofType;
  if (isEnumType(leaf)) return leaf.getValues()[0]?.value;
  const placeholder = isLeafType(leaf) ? placeholders[leaf.name] : undefined;
  if (placeholder === undefined) throw new Error(`A field of type ${String(type)} cannot be personal.`);
  return placeholder;
}

function keysOf(path: GraphQLResolveInfo['path'] | undefined): Path {
  const keys: (string | number)[] = [];
  for (let each = path; each; each = each.prev) keys.push(each.key);
  return keys.reverse();
}

/** The personal fields of a shared result as a tree: a number is the index of a field. */
type FieldTree = Map<string | number, FieldTree | number>;

/** A shared result that is completed for each subscriber. */
export class PersonalResult {
  readonly #result: ExecutionResult;
  readonly #fields: readonly PersonalField[];
  readonly #tree: FieldTree = new Map();
  /** Whether all personal fields are read from the event, so that nothing is loaded. */
  readonly isOfEvent: boolean;
  /** Completed results by their values, if all are read from the event. Such a result is serialized once. */
  readonly #completed = new Map<string, ExecutionResult>();

  constructor(result: ExecutionResult, fields: readonly PersonalField[]) {
    [this.#result, this.#fields] = [result, fields];
    this.isOfEvent = fields.every((field) => 'read' in field);
    for (const [index, { path }] of fields.entries()) {
      let tree = this.#tree;
      for (const key of path.slice(0, -1)) {
        const next = tree.get(key) ?? new Map();
        tree.set(key, next);
        tree = next as FieldTree;
      }
      tree.set(path.at(-1) as string | number, index);
    }
  }

  /**
   * Returns a copy with the values of a viewer.
   *
   * @param context a new context of the viewer
   * @param event the event as the stream of the viewer delivers it
   * @throws if a value cannot be loaded, or is null although its field is non-null
   */
  async completeFor(context: Context, event: object): Promise<ExecutionResult> {
    const values = this.#fields.map(async (field) =>
      serialize(field.type, 'read' in field ? field.read(event) : await field.load(context)),
    );
    return this.#copyWith(await Promise.all(values));
  }

  /** Returns a copy with the values of an event, if {@link isOfEvent}. Equal events have the same copy. */
  completeFromEvent(event: object): ExecutionResult {
    const values = this.#fields.map((field) => serialize(field.type, 'read' in field ? field.read(event) : null));
    const key = JSON.stringify(values);
    const completed = this.#completed.get(key) ?? this.#copyWith(values);
    this.#completed.set(key, completed);
    return completed;
  }

  #copyWith(values: readonly unknown[]): ExecutionResult {
    return { ...this.#result, data: copyWith(this.#result.data as Tree, this.#tree, values) };
  }
}

type Tree = Record<string | number, unknown>;

/** Copies the objects on the paths to the personal fields. All others stay shared. */
function copyWith(original: Tree, fields: FieldTree, values: readonly unknown[]): Tree {
  const copy = (Array.isArray(original) ? [...(original as unknown[])] : { ...original }) as Tree;
  for (const [key, field] of fields)
    copy[key] = typeof field === 'number' ? values[field] : copyWith(copy[key] as Tree, field, values);
  return copy;
}

function serialize(type: GraphQLOutputType, value: unknown): unknown {
  if (value != null) return (getNamedType(type) as GraphQLLeafType).serialize(value);
  if (isNonNullType(type)) throw new Error('The value of a non-null field is null.');
  return null;
}
