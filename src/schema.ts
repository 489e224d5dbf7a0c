import { type GraphQLObjectType, type GraphQLSchema, isObjectType } from 'graphql';
import './auth/schema.ts';
import './chatrooms/schema.ts';
import './events/schema.ts';
import './friends/schema.ts';
import './members/schema.ts';
import './messages/schema.ts';
import './presence/schema.ts';
import './push/schema.ts';
import './reactions/schema.ts';
import './reading/schema.ts';
import './search/schema.ts';
import './system/schema.ts';
import './typing/schema.ts';
import './users/schema.ts';
import './viewerEvents/schema.ts';
import { builder } from './builder.ts';
import { type Context, requireViewer } from './context.ts';
import { encodeId } from './ids.ts';
import { chargeMutation } from './limits/rates.ts';

/** What can be done signed out; the last one is for services. Everything else wants a viewer before it looks at its input. */
const OPEN_MUTATIONS = new Set([
  'signUp',
  'signIn',
  'signInWithIdToken',
  'refreshSession',
  'verifyEmail',
  'requestPasswordReset',
  'resetPassword',
  'sendSystemMessage',
]);

// It depends on nothing but the code, so a process builds it once: that takes 50 ms.
const schema = createSchema();

/** The schema of all features. */
export function buildSchema(): GraphQLSchema {
  return schema;
}

function createSchema(): GraphQLSchema {
  const schema = builder.toSchema();
  for (const field of Object.values(schema.getMutationType()?.getFields() ?? {})) {
    const { name, resolve } = field;
    // What was read before a write must not be answered after it.
    field.resolve = async (source, args, context: Context, info) => {
      // Per field, because one operation may have many of them.
      await chargeMutation(context, name);
      if (!OPEN_MUTATIONS.has(name)) requireViewer(context);
      try {
        return await resolve?.(source, args, context, info);
      } finally {
        context.cache = {};
      }
    };
  }
  for (const type of Object.values(schema.getTypeMap())) if (isObjectType(type)) resolveIdAtOnce(type);
  return schema;
}

/** The plugin waits for the key of each id; ours are there, and a page of messages has a hundred of them. */
function resolveIdAtOnce(type: GraphQLObjectType): void {
  const options = type.extensions['pothosOptions'] as { id?: { resolve?: (node: unknown) => string } } | undefined;
  const [{ id: field }, keyOf] = [type.getFields(), options?.id?.resolve];
  if (field && keyOf) field.resolve = (node) => encodeId(type.name, keyOf(node));
}
