import SchemaBuilder, { BasePlugin, type PothosOutputFieldConfig, type SchemaTypes } from '@pothos/core';
import type { GraphQLFieldResolver } from 'graphql';
import { type Context, requireScope, requireViewer } from '../core/context.ts';
import { encodeId } from '../core/globalIds.ts';
import type { Scope } from '../core/scopes.ts';
import { isLeafField, personal, PersonalObject } from './personalFields.ts';
import { chargeMutation } from '../platform/rateLimits/rateLimits.ts';

declare global {
  namespace PothosSchemaTypes {
    interface Plugins<Types extends SchemaTypes> {
      parley: ParleyPlugin<Types>;
    }
  }
}

/** `extensions` of a mutation that signed-out clients may call. Without these extensions, a mutation requires a viewer. */
export const noViewerRequired = { requiresViewer: false };

/** Returns the `extensions` of a query or mutation that services may call with one of the scopes, and nobody else. */
export function forServicesOnly(...scopes: [Scope, ...Scope[]]) {
  return { requiresViewer: false, requiredScopes: scopes };
}

/**
 * Returns the `extensions` of a query or mutation that users may call, and services with one of the scopes. Also of a
 * field of an object that services reach: users read it as its resolver decides, and services need one of the scopes.
 */
export function alsoForServices(...scopes: [Scope, ...Scope[]]) {
  return { requiredScopes: scopes };
}

type Resolver<Types extends SchemaTypes> = GraphQLFieldResolver<unknown, Types['Context']>;

/** Pothos plugin that wraps the resolvers of mutations, ids, personal objects, and fields that need a scope. */
class ParleyPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override wrapResolve(resolve: Resolver<Types>, field: PothosOutputFieldConfig<Types>): Resolver<Types> {
    if (field.kind === 'Mutation') return guardMutation(field.name, callersOf(field.extensions), resolve);
    if (field.extensions?.['requiredScopes'] !== undefined)
      return guardRead(callersOf(field.extensions), field.kind === 'Query', resolve);
    const own = (field.name === 'id' && this.resolveIdAtOnce(field.parentType)) || resolve;
    const { extensions } = this.builder.configStore.getTypeConfig(field.parentType);
    return extensions?.['isPersonal'] === true ? resolvePersonally(own) : own;
  }

  /**
   * Returns a synchronous resolver of `id`, or undefined for a type without a global id. The Relay plugin's resolver is
   * asynchronous although the key is already loaded. With that resolver, a page of messages would await a hundred
   * promises.
   */
  private resolveIdAtOnce(type: string): Resolver<Types> | undefined {
    const { pothosOptions } = this.builder.configStore.getTypeConfig(type);
    const keyOf = (pothosOptions as { id?: { resolve?: (node: unknown) => string } }).id?.resolve;
    return keyOf && ((node) => encodeId(type, keyOf(node)));
  }
}

/**
 * Makes the scalar fields of a {@link PersonalObject} personal. A field that returns an object is resolved for the viewer
 * instead, so the result is then not shared.
 */
function resolvePersonally<Types extends SchemaTypes>(resolve: Resolver<Types>): Resolver<Types> {
  return (source, args, context, info) => {
    if (!(source instanceof PersonalObject)) return resolve(source, args, context, info);
    const resolveFor = async (own: Context) => resolve(await source.load(own), args, own, info);
    return isLeafField(info.returnType)
      ? personal(context as Context, info, resolveFor)
      : resolveFor(context as Context);
  };
}

/** Who may call a mutation. */
interface Callers {
  /** Whether a viewer is required, unless a service calls. */
  requiresViewer: boolean;
  /** Scopes of which a service needs one. Undefined if services are treated like all clients without a viewer. */
  requiredScopes: [Scope, ...Scope[]] | undefined;
}

function callersOf(extensions: Readonly<Record<string, unknown>> | undefined | null): Callers {
  return {
    requiresViewer: extensions?.['requiresViewer'] !== false,
    requiredScopes: extensions?.['requiredScopes'] as Callers['requiredScopes'],
  };
}

function checkCaller(context: Context, { requiresViewer, requiredScopes }: Callers): void {
  if (requiredScopes && (context.service || !requiresViewer)) requireScope(context, ...requiredScopes);
  else if (requiresViewer) requireViewer(context);
}

/** Charges a mutation, and checks its caller before the mutation validates its input. */
function guardMutation<Types extends SchemaTypes>(
  name: string,
  callers: Callers,
  resolve: Resolver<Types>,
): Resolver<Types> {
  return async (source, args, anyContext, info) => {
    const context = anyContext as Context;
    // Charged for each field, because one operation may contain many mutations.
    await chargeMutation(context, name);
    checkCaller(context, callers);
    try {
      return await resolve(source, args, anyContext, info);
    } finally {
      // Clears the loaders, so that the payload contains no data read before the write.
      context.cache = {};
    }
  };
}

/** Checks the caller of a query, and the scopes of a service that reads a field of an object. */
function guardRead<Types extends SchemaTypes>(
  callers: Callers,
  isQuery: boolean,
  resolve: Resolver<Types>,
): Resolver<Types> {
  return (source, args, anyContext, info) => {
    const context = anyContext as Context;
    if (isQuery || context.service) checkCaller(context, callers);
    return resolve(source, args, anyContext, info);
  };
}

SchemaBuilder.registerPlugin('parley', ParleyPlugin);
